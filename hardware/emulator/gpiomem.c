// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * /dev/gpiomem for the emulated board. Raspberry Pi's kernel has this device, which
 * maps the registers of the pins and nothing else, for the group gpio; Debian's kernel,
 * which the emulated board runs, lacks it. The program drives its light through it.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>

/* The GPIO block of the BCM2837. */
#define GPIO_BASE 0x3f200000
#define GPIO_SIZE 0x1000

static int gpiomem_mmap(struct file *file, struct vm_area_struct *area)
{
	area->vm_page_prot = pgprot_noncached(area->vm_page_prot);
	return vm_iomap_memory(area, GPIO_BASE, GPIO_SIZE);
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.mmap = gpiomem_mmap,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gpiomem",
	.fops = &operations,
};

module_misc_device(device);
MODULE_DESCRIPTION("The registers of the pins, as Raspberry Pi's kernel gives them");
MODULE_LICENSE("Dual MIT/GPL");
