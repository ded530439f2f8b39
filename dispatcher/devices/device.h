/* SPDX-License-Identifier: MIT */
/*
 * device.h - what a worker can be bound to: a GPU, a slice of one, or cores; as data.
 *
 * It says where a device is, not what becomes of it.
 */
#ifndef DISPATCHER_DEVICE_H
#define DISPATCHER_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/device_kind.h"

#define DEVICE_COUNT_MAX 256u /* of one kind */
/* Of memory: a sum of what many workers are promised of it can be reckoned. */
#define DEVICE_BYTES_MAX (UINT64_C(1) << 50)

/* Bytes of texts, with their NUL. */
#define DEVICE_UUID_BYTES 96u
#define DEVICE_NAME_BYTES 80u
#define DEVICE_PCI_BYTES 20u
#define DEVICE_LIST_BYTES 256u /* of numbers: 0-3,8-11 */
#define DEVICE_NODES_BYTES 256u

/* A text is "" where nothing is known. All of it is plain memory: it is sent as it is. */
struct device {
    uint32_t kind;                        /* an enum device_kind */
    uint32_t index;                       /* among those of its kind, from 0 */
    int32_t numa_node;                    /* the nearest one; -1: not known, or there are several */
    uint32_t core_count;                  /* of `cores`; 0: not known */
    uint64_t memory_bytes;                /* of its own; of a slice, the slice's; 0: not known */
    uint64_t memory_free_bytes;           /* when it was looked at */
    char uuid[DEVICE_UUID_BYTES];         /* GPU-..., MIG-...: as its mask takes it */
    char name[DEVICE_NAME_BYTES];         /* for people */
    char pci[DEVICE_PCI_BYTES];           /* 0000:65:00.0, in lower case */
    char parent[DEVICE_UUID_BYTES];       /* of a slice: the UUID of the GPU that it is of */
    char cores[DEVICE_LIST_BYTES];        /* near it, or that it is */
    char memory_nodes[DEVICE_LIST_BYTES]; /* NUMA nodes near it */
    char nodes[DEVICE_NODES_BYTES]; /* files below /dev that who uses it opens, parted by ':' */
};

/* Whether it can be what it says: texts end, and are of the characters that they may have. For what
 * another process says. */
bool device_is_sound(const struct device *device);

/* Whether two are the same one, which may have another index by now. */
bool device_is_same(const struct device *device, const struct device *other);

struct device_range {
    uint32_t first, last;
};

/* Takes the first numbers off a list, 0-3 of 0-3,8-9. False: none are left, or what is left is no
 * list, and stays. */
bool device_list_take(const char **list, struct device_range *out);

/* How many numbers a list has, 6 of 0-3,8-9; 0 of what is none. */
uint32_t device_list_count(const char *list);

/* Copies a text that is not ours, of at most `bytes` and up to a NUL: what cannot be shown is a
 * question mark, and what does not fit is left out. */
void device_text_copy(char *out, size_t room, const char *text, size_t bytes);

#endif
