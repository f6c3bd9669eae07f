/* Counts the instructions of an emulated aarch64 program by class, for
 * benches/tools/bench.py: a plugin of qemu-aarch64 (QEMU 7.2, plugin API 1;
 * the declarations that it uses are copied below). The counted program makes a
 * system call that does not exist, MARK; at each one the plugin prints the call's
 * argument and the counts since the call before. With the option blocks=N it also
 * prints the N basic blocks that executed most instructions: how often each ran,
 * and its instructions. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MARK = 0x7001 };
/* QEMU translates at most this many instructions as one block. */
enum { LONGEST = 512 };

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;
typedef void translated(plugin_id, struct qemu_plugin_tb *);
typedef void called(plugin_id, unsigned cpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t,
                    uint64_t, uint64_t, uint64_t, uint64_t);
enum plugin_op { ADD_U64 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum plugin_op, void *, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated *);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, called *);
void qemu_plugin_outs(const char *);

int qemu_plugin_version = 1;

enum { SIMD, SIMD_LOAD, SIMD_STORE, INTEGER, LOAD, STORE, BRANCH, CLASSES };
static const char *const names[CLASSES] = {
    "simd", "simd-load", "simd-store", "integer", "load", "store", "branch",
};
static uint64_t counts[CLASSES], before[CLASSES];

struct block {
    struct block *next;
    uint64_t runs, before, since;
    size_t length;
    uint32_t words[];
};
static struct block *blocks;
static size_t printed, translations;

/* The class of an A64 instruction, by bits 28 to 25 of its encoding. */
static int class_of(uint32_t word)
{
    unsigned group = word >> 25 & 15;
    if ((group & 7) == 7)
        return SIMD;
    if ((group & 14) == 10)
        return BRANCH;
    if ((group & 5) != 4)
        return INTEGER;
    int simd = word >> 26 & 1, load = word >> 22 & 1;
    switch (word >> 28 & 3) {
    case 1: /* literal */
        load = 1;
        break;
    case 3: /* one register: sign-extending loads have bit 23 alone */
        load |= !simd && (word >> 23 & 1);
        break;
    }
    return simd ? (load ? SIMD_LOAD : SIMD_STORE) : (load ? LOAD : STORE);
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *block)
{
    uint64_t here[CLASSES] = {0};
    uint32_t words[LONGEST];
    size_t length = qemu_plugin_tb_n_insns(block);
    if (length > LONGEST)
        abort();
    for (size_t i = 0; i < length; i++) {
        memcpy(&words[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof words[i]);
        here[class_of(words[i])]++;
    }
    for (int class = 0; class < CLASSES; class++)
        if (here[class])
            qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &counts[class], here[class]);
    if (!printed)
        return;
    struct block *kept = calloc(1, sizeof *kept + length * sizeof *words);
    if (!kept)
        abort();
    memcpy(kept->words, words, length * sizeof *words);
    kept->length = length;
    kept->next = blocks;
    blocks = kept;
    translations++;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &kept->runs, 1);
}

static uint64_t instructions(const struct block *block)
{
    return block->since * block->length;
}

static int by_instructions(const void *a, const void *b)
{
    uint64_t x = instructions(*(struct block *const *)a), y = instructions(*(struct block *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Prints the blocks that executed most instructions since the last mark. */
static void print_blocks(void)
{
    struct block **sorted = calloc(translations + 1, sizeof *sorted);
    size_t count = 0;
    if (!sorted)
        abort();
    for (struct block *block = blocks; block; block = block->next) {
        block->since = block->runs - block->before;
        block->before = block->runs;
        sorted[count++] = block;
    }
    qsort(sorted, count, sizeof *sorted, by_instructions);
    for (size_t i = 0; i < count && i < printed; i++) {
        char line[32 + 9 * LONGEST];
        int end = snprintf(line, sizeof line, "block %" PRIu64, sorted[i]->since);
        for (size_t word = 0; word < sorted[i]->length; word++)
            end += snprintf(line + end, sizeof line - end, " %08x", sorted[i]->words[word]);
        snprintf(line + end, sizeof line - end, "\n");
        qemu_plugin_outs(line);
    }
    free(sorted);
}

static void on_system_call(plugin_id id, unsigned cpu, int64_t number, uint64_t label, uint64_t b, uint64_t c,
                           uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    char line[512];
    uint64_t all = 0;
    if (number != MARK)
        return;
    int end = snprintf(line, sizeof line, "mark %" PRIu64, label);
    for (int class = 0; class < CLASSES; class++) {
        uint64_t since = counts[class] - before[class];
        all += since;
        end += snprintf(line + end, sizeof line - end, " %s %" PRIu64, names[class], since);
        before[class] = counts[class];
    }
    snprintf(line + end, sizeof line - end, " all %" PRIu64 "\n", all);
    qemu_plugin_outs(line);
    print_blocks();
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (sscanf(argv[i], "blocks=%zu", &printed) != 1)
            return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
