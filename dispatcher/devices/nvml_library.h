/* SPDX-License-Identifier: MIT */
/*
 * nvml_library.h - the functions of NVIDIA's management library, as far as they are used here.
 */
#ifndef DISPATCHER_NVML_LIBRARY_H
#define DISPATCHER_NVML_LIBRARY_H

#define LIBRARY_NVML "libnvidia-ml.so.1"

/* NVML API Reference Guide, "Device Enums", "Device Structs" and "Event Types". */
enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_TIMEOUT = 10,
    NVML_DEVICE_MIG_ENABLE = 1
};
#define NVML_EVENT_DOUBLE_BIT_ECC 0x2ull
#define NVML_EVENT_XID 0x8ull

struct nvml_memory {
    unsigned long long total, free, used;
};

/* How each version of it begins; the longest has 68 bytes. */
struct nvml_pci {
    char legacy[16];
    unsigned domain, bus, device;
    char rest[100];
};

/* Of the second and third version of what lists them; the first one has another shape. */
struct nvml_process {
    unsigned pid;
    unsigned long long used; /* ULLONG_MAX: not known */
    unsigned gpu_instance, compute_instance;
};

struct nvml_device; /* the library's own, likewise: */
struct nvml_event_set;

struct nvml_event {
    struct nvml_device *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};

struct nvml_library {
    int (*init)(void);
    int (*count)(unsigned *);
    int (*handle)(unsigned, struct nvml_device **);
    int (*uuid)(struct nvml_device *, char *, unsigned);
    int (*name)(struct nvml_device *, char *, unsigned);
    int (*memory)(struct nvml_device *, struct nvml_memory *);
    /* What older ones need not have. */
    const char *(*error_string)(int);
    int (*pci)(struct nvml_device *, struct nvml_pci *);
    int (*minor)(struct nvml_device *, unsigned *);
    int (*mig_mode)(struct nvml_device *, unsigned *, unsigned *);
    int (*slice_count_max)(struct nvml_device *, unsigned *);
    int (*slice)(struct nvml_device *, unsigned, struct nvml_device **);
    int (*gpu_instance)(struct nvml_device *, unsigned *);
    int (*compute_instance)(struct nvml_device *, unsigned *);
    int (*processes)(struct nvml_device *, unsigned *, struct nvml_process *);
    int (*events_make)(struct nvml_event_set **);
    int (*events_ask)(struct nvml_device *, unsigned long long, struct nvml_event_set *);
    int (*events_wait)(struct nvml_event_set *, struct nvml_event *, unsigned);
};

extern struct nvml_library nvml;

/* NULL, or why it cannot be used. */
const char *nvml_library_load(void);

/* An error in its words, or its number. */
const char *nvml_words(int error);

#endif
