/* Ends a program that is built for x86-64-v3 on a processor that lacks it, in one line,
 * before any code of that level runs: C++'s initialisers run before main, so this runs
 * before them (processor.rs). build.rs compiles it for every x86-64. */
#include <cpuid.h>
#include <unistd.h>

/* The register states of SSE and AVX, which the kernel must save (XCR0). */
#define SAVED 6u

static int fits(void)
{
    unsigned a, b, c, d, saved;
    const unsigned leaf_1 = bit_FMA | bit_MOVBE | bit_OSXSAVE | bit_AVX | bit_F16C;
    const unsigned leaf_7 = bit_BMI | bit_AVX2 | bit_BMI2;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & leaf_1) != leaf_1)
        return 0;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    if ((saved & SAVED) != SAVED)
        return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & leaf_7) != leaf_7)
        return 0;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT);
}

void torment_nexus_check_processor(void)
{
    static const char fault[] = "error: this processor lacks AVX2 or FMA, which this program needs (x86-64-v3); "
                                "build it on this machine: RUSTFLAGS='-C target-cpu=native' script/demo\n";
    if (fits())
        return;
    ssize_t written = write(STDERR_FILENO, fault, sizeof fault - 1);
    (void)written;
    _exit(1);
}
