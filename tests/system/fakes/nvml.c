/* SPDX-License-Identifier: MIT */
/*
 * nvml.c - a libnvidia-ml.so.1 without a GPU. What it says is told by variables:
 *
 *     NVIDIA_FAKE_GPUS=4     so many GPUs, of 10, 11, ... GiB
 *     NVIDIA_FAKE_MIG=1:3    of which number 1 is sliced in three, with gaps between their numbers
 *     NVIDIA_FAKE_LOST=2     and number 2 fell off its bus
 *     NVIDIA_FAKE_INIT=hang  or crash, exit, unloaded, refused: what beginning does
 *     NVIDIA_FAKE_STATE=DIR  a folder with what may change:
 *         DIR/refused        beginning fails
 *         DIR/lost           the number of a GPU that fell off its bus
 *         DIR/free           MiB that are free on each GPU
 *         DIR/events         a line "GPU XID" for each event
 *         DIR/models/PID     MiB that a process uses of each GPU while it lives
 *     NVIDIA_FAKE_PROCESSES=500   of each of these it says that it uses so many MiB more
 *
 * Compiled with -DOLD it has the names and functions of the first versions alone.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GPU_COUNT_MAX 300u
#define SLICE_COUNT_MAX 8u
#define GIB (1024ull * 1024 * 1024)

enum {
    SUCCESS = 0,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    NOT_LOADED = 9,
    TIMEOUT = 10,
    LOST = 15
};

/* A slice has the GPU that it is of. */
static struct gpu {
    struct gpu *whole;
    unsigned number;
} gpus[GPU_COUNT_MAX];

struct memory {
    unsigned long long total, free, used;
};

struct pci {
    char legacy[16];
    unsigned domain, bus, device;
};

static unsigned fake_number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static FILE *fake_state(const char *name);

static int fake_begin(void)
{
    const char *way = getenv("NVIDIA_FAKE_INIT");
    FILE *refused = fake_state("refused");
    if (refused)
        fclose(refused);
    if (!way)
        return refused ? NO_PERMISSION : SUCCESS;
    while (strcmp(way, "hang") == 0)
        pause();
    if (strcmp(way, "crash") == 0)
        __builtin_trap();
    if (strcmp(way, "exit") == 0)
        _exit(3);
    return strcmp(way, "unloaded") == 0 ? NOT_LOADED : NO_PERMISSION;
}

static int fake_count(unsigned *count)
{
    *count = fake_number("NVIDIA_FAKE_GPUS", 0);
    return SUCCESS;
}

/* A file of that folder; NULL: it is not there. */
static FILE *fake_state(const char *name)
{
    char path[4096];
    const char *folder = getenv("NVIDIA_FAKE_STATE");
    snprintf(path, sizeof path, "%.4000s/%.64s", folder ? folder : "/nowhere", name);
    return fopen(path, "r");
}

static unsigned long long fake_state_number(const char *name, unsigned long long otherwise)
{
    FILE *file = fake_state(name);
    if (file && fscanf(file, "%llu", &otherwise) != 1)
        rewind(file);
    if (file)
        fclose(file);
    return otherwise;
}

static int fake_handle(unsigned index, struct gpu **gpu)
{
    if (index == fake_number("NVIDIA_FAKE_LOST", GPU_COUNT_MAX) ||
        index == fake_state_number("lost", GPU_COUNT_MAX))
        return LOST;
    *gpu = &gpus[index];
    gpus[index].number = index;
    return SUCCESS;
}

static int fake_pci(struct gpu *gpu, struct pci *pci)
{
    if (gpu->whole)
        return NOT_SUPPORTED;
    pci->domain = 0;
    pci->bus = 0x10 + gpu->number;
    pci->device = 0;
    return SUCCESS;
}

int nvmlDeviceGetUUID(struct gpu *gpu, char *uuid, unsigned room);
int nvmlDeviceGetUUID(struct gpu *gpu, char *uuid, unsigned room)
{
    if (gpu->whole)
        snprintf(uuid, room, "MIG-%08x-0000-0000-0000-%012x", gpu->whole->number, gpu->number);
    else
        snprintf(uuid, room, "GPU-%08x-0000-0000-0000-000000000000", gpu->number);
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, struct gpu **gpu);
int nvmlDeviceGetHandleByUUID(const char *uuid, struct gpu **gpu)
{
    unsigned index;
    return sscanf(uuid, "GPU-%x-", &index) == 1 && index < GPU_COUNT_MAX ? fake_handle(index, gpu)
                                                                         : NOT_FOUND;
}

int nvmlDeviceGetName(struct gpu *gpu, char *name, unsigned room);
int nvmlDeviceGetName(struct gpu *gpu, char *name, unsigned room)
{
    snprintf(name, room, "Fake \033GPU%s", gpu->whole ? " MIG 1g.5gb" : "");
    return SUCCESS;
}

struct process {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
};

/* Those that use memory, in MiB. */
static unsigned fake_processes(struct process *processes, unsigned room)
{
    char path[4096], name[64];
    unsigned count = 0;
    const char *state = getenv("NVIDIA_FAKE_STATE");
    snprintf(path, sizeof path, "%s/models", state ? state : "/nowhere");
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL && count < room;) {
        snprintf(path, sizeof path, "/proc/%.32s/stat", entry->d_name);
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || access(path, F_OK) != 0)
            continue;
        snprintf(name, sizeof name, "models/%.32s", entry->d_name);
        processes[count++] = (struct process){.pid = (unsigned)strtoul(entry->d_name, NULL, 10),
                                              .used = fake_state_number(name, 0)};
    }
    if (folder)
        closedir(folder);
    return count;
}

static unsigned long long fake_used(void)
{
    struct process processes[64];
    unsigned long long sum = 0;
    for (unsigned count = fake_processes(processes, 64); count > 0; count--)
        sum += processes[count - 1].used;
    return sum;
}

int nvmlDeviceGetMemoryInfo(struct gpu *gpu, struct memory *memory);
int nvmlDeviceGetMemoryInfo(struct gpu *gpu, struct memory *memory)
{
    memory->total = gpu->whole ? 5 * GIB : (10 + gpu->number) * GIB;
    unsigned long long used = fake_used(), left = (memory->total - GIB) >> 20;
    left = fake_state_number("free", left);
    memory->free = (left > used ? left - used : 0) << 20;
    memory->used = memory->total - memory->free;
    return SUCCESS;
}

#ifdef OLD

int nvmlInit(void);
int nvmlInit(void)
{
    return fake_begin();
}

int nvmlDeviceGetCount(unsigned *count);
int nvmlDeviceGetCount(unsigned *count)
{
    return fake_count(count);
}

int nvmlDeviceGetHandleByIndex(unsigned index, struct gpu **gpu);
int nvmlDeviceGetHandleByIndex(unsigned index, struct gpu **gpu)
{
    return fake_handle(index, gpu);
}

int nvmlDeviceGetPciInfo(struct gpu *gpu, struct pci *pci);
int nvmlDeviceGetPciInfo(struct gpu *gpu, struct pci *pci)
{
    return fake_pci(gpu, pci);
}

#else

static unsigned fake_slice_count(unsigned gpu)
{
    const char *text = getenv("NVIDIA_FAKE_MIG");
    const char *colon = text ? strchr(text, ':') : NULL;
    return colon && strtoul(text, NULL, 10) == gpu ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

static struct gpu slices[GPU_COUNT_MAX][SLICE_COUNT_MAX];

int nvmlInit_v2(void);
int nvmlInit_v2(void)
{
    return fake_begin();
}

const char *nvmlErrorString(int error);
const char *nvmlErrorString(int error)
{
    return error == LOST            ? "GPU is lost"
           : error == NO_PERMISSION ? "Insufficient Permissions"
           : error == NOT_LOADED    ? "Driver Not Loaded"
                                    : "Unknown Error";
}

int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetCount_v2(unsigned *count)
{
    return fake_count(count);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **gpu);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **gpu)
{
    return fake_handle(index, gpu);
}

int nvmlDeviceGetPciInfo_v3(struct gpu *gpu, struct pci *pci);
int nvmlDeviceGetPciInfo_v3(struct gpu *gpu, struct pci *pci)
{
    return fake_pci(gpu, pci);
}

int nvmlDeviceGetMinorNumber(struct gpu *gpu, unsigned *minor);
int nvmlDeviceGetMinorNumber(struct gpu *gpu, unsigned *minor)
{
    *minor = gpu->number;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(struct gpu *gpu, unsigned *count,
                                            struct process *processes);
int nvmlDeviceGetComputeRunningProcesses_v3(struct gpu *gpu, unsigned *count,
                                            struct process *processes)
{
    (void)gpu;
    const char *more = getenv("NVIDIA_FAKE_PROCESSES");
    if (!more)
        return NOT_SUPPORTED;
    *count = fake_processes(processes, *count);
    for (unsigned i = 0; i < *count; i++)
        processes[i].used = (processes[i].used + strtoull(more, NULL, 10)) << 20;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(struct gpu *gpu, unsigned *current, unsigned *pending);
int nvmlDeviceGetMigMode(struct gpu *gpu, unsigned *current, unsigned *pending)
{
    const char *sliced = getenv("NVIDIA_FAKE_MIG");
    if (!sliced)
        return NOT_SUPPORTED;
    *current = *pending = strtoul(sliced, NULL, 10) == gpu->number;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(struct gpu *gpu, unsigned *count);
int nvmlDeviceGetMaxMigDeviceCount(struct gpu *gpu, unsigned *count)
{
    (void)gpu;
    *count = SLICE_COUNT_MAX;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(struct gpu *gpu, unsigned index, struct gpu **slice);
int nvmlDeviceGetMigDeviceHandleByIndex(struct gpu *gpu, unsigned index, struct gpu **slice)
{
    if (index % 2 == 1 || index / 2 >= fake_slice_count(gpu->number))
        return NOT_FOUND;
    *slice = &slices[gpu->number][index];
    **slice = (struct gpu){.whole = gpu, .number = index / 2};
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(struct gpu *slice, unsigned *number);
int nvmlDeviceGetGpuInstanceId(struct gpu *slice, unsigned *number)
{
    *number = 7 + slice->number;
    return SUCCESS;
}

int nvmlEventSetCreate(void **set);
int nvmlEventSetCreate(void **set)
{
    *set = gpus;
    return SUCCESS;
}

int nvmlDeviceRegisterEvents(struct gpu *gpu, unsigned long long types, void *set);
int nvmlDeviceRegisterEvents(struct gpu *gpu, unsigned long long types, void *set)
{
    (void)gpu, (void)types, (void)set;
    return SUCCESS;
}

struct event {
    struct gpu *gpu;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};

/* The next line that was not told yet. */
int nvmlEventSetWait_v2(void *set, struct event *event, unsigned timeout_ms);
int nvmlEventSetWait_v2(void *set, struct event *event, unsigned timeout_ms)
{
    static unsigned told;
    (void)set;
    for (unsigned ms = 0; ms < timeout_ms; ms += 10) {
        unsigned number, at = 0;
        unsigned long long xid;
        FILE *file = fake_state("events");
        while (file && fscanf(file, "%u %llu", &number, &xid) == 2 && at <= told)
            at++;
        if (file)
            fclose(file);
        if (at > told) {
            told++;
            *event = (struct event){.gpu = &gpus[number], .type = 8, .data = xid};
            gpus[number].number = number;
            return SUCCESS;
        }
        usleep(10000);
    }
    return TIMEOUT;
}

int nvmlDeviceGetComputeInstanceId(struct gpu *slice, unsigned *number);
int nvmlDeviceGetComputeInstanceId(struct gpu *slice, unsigned *number)
{
    (void)slice;
    *number = 0;
    return SUCCESS;
}

#endif
