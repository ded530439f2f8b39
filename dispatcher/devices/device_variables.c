/* SPDX-License-Identifier: MIT */
/* device_variables.c - masks by kind, and variables with fields. */
#include "dispatcher/devices/device_variables.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/device_template.h"

/* By what the libraries of a kind choose. A library that takes UUIDs is given that: indexes are
 * counted anew by each of them, in an order of its own, and of a slice there is none. AMD's two
 * masks would be applied one after the other, so it is one; the lower one is obeyed by all. */
static const struct {
    const char *mask;
    bool takes_uuid;
} masks[DEVICE_KIND_COUNT] = {
    [DEVICE_CUDA] = {"CUDA_VISIBLE_DEVICES", true},
    [DEVICE_HIP] = {"ROCR_VISIBLE_DEVICES", true},
    [DEVICE_LEVEL_ZERO] = {"ZE_AFFINITY_MASK", false},
    [DEVICE_VULKAN] = {"GGML_VK_VISIBLE_DEVICES", false},
    [DEVICE_OPENCL] = {NULL, false},
    [DEVICE_CPU] = {NULL, false},
};

static int variables_add(struct device_variables *variables, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int variables_adopt(struct device_variables *variables, char *item)
{
    mr_assert(variables->count < DEVICE_VARIABLE_COUNT_MAX);
    if (!item)
        return -ENOMEM;
    variables->items[variables->count++] = item;
    return 0;
}

static int variables_add(struct device_variables *variables, const char *format, ...)
{
    char *item;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&item, format, arguments) == -1)
        item = NULL;
    va_end(arguments);
    return variables_adopt(variables, item);
}

/* ---- the mask ------------------------------------------------------------------------------ */

static int variables_mask_add(struct device_variables *variables, const struct device *device)
{
    const char *mask = masks[device->kind].mask;
    int rc = 0;
    /* PoCL makes as many devices as it is told; others have no mask, and are chosen by index. */
    if (device->kind == DEVICE_OPENCL)
        return variables_add(variables, "POCL_DEVICES=basic");
    if (!mask)
        return 0;
    if (masks[device->kind].takes_uuid && device->uuid[0] != '\0')
        return variables_add(variables, "%s=%s", mask, device->uuid);
    if (device->kind == DEVICE_CUDA) /* the order in which we count */
        rc = variables_add(variables, "CUDA_DEVICE_ORDER=PCI_BUS_ID");
    return rc < 0 ? rc : variables_add(variables, "%s=%u", mask, device->index);
}

int device_variables_hide(struct device_variables *variables)
{
    /* An index that no device has ends each list; of the last one none is chosen by nothing. */
    static const char *const hiding[] = {"CUDA_VISIBLE_DEVICES=-1", "ROCR_VISIBLE_DEVICES=-1",
                                         "GGML_VK_VISIBLE_DEVICES="};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_COUNT(hiding) && rc == 0; i++)
        rc = variables_add(variables, "%s", hiding[i]);
    return rc;
}

/* ---- what it is ---------------------------------------------------------------------------- */

static int variables_template_add(struct device_variables *variables, const char *item,
                                  const char *const values[DEVICE_FIELD_COUNT])
{
    struct text text = {0};
    device_template_add(&text, item, values);
    text_add_bytes(&text, "", 1);
    if (!text.failed)
        return variables_adopt(variables, text.bytes);
    text_finish(&text);
    return -ENOMEM;
}

static int variables_templates_add(struct device_variables *variables, const struct device *device,
                                   const struct environment *templates)
{
    char index[16], numa[16] = "";
    const char *const values[DEVICE_FIELD_COUNT] = {
        [DEVICE_FIELD_KIND] = device_kind_name((enum device_kind)device->kind),
        [DEVICE_FIELD_INDEX] = index,
        [DEVICE_FIELD_UUID] = device->uuid,
        [DEVICE_FIELD_PCI] = device->pci,
        [DEVICE_FIELD_CORES] = device->cores,
        [DEVICE_FIELD_NUMA] = numa,
    };
    int rc = 0;
    snprintf(index, sizeof index, "%u", device->index);
    if (device->numa_node >= 0)
        snprintf(numa, sizeof numa, "%d", device->numa_node);
    for (uint32_t i = 0; i < templates->count && rc == 0; i++)
        rc = variables_template_add(variables, templates->items[i], values);
    return rc;
}

int device_variables_fill(struct device_variables *variables, const struct device *device,
                          const struct environment *templates)
{
    int rc = variables_add(variables, "MILLRACE_DEVICE_KIND=%s",
                           device_kind_name((enum device_kind)device->kind));
    if (rc == 0)
        rc = variables_add(variables, "MILLRACE_DEVICE_INDEX=%u", device->index);
    if (rc == 0 && device->uuid[0] != '\0')
        rc = variables_add(variables, "MILLRACE_DEVICE_UUID=%s", device->uuid);
    if (rc == 0)
        rc = variables_mask_add(variables, device);
    return rc < 0 ? rc : variables_templates_add(variables, device, templates);
}

void device_variables_finish(struct device_variables *variables)
{
    for (uint32_t i = 0; i < variables->count; i++)
        free(variables->items[i]);
    variables->count = 0;
}
