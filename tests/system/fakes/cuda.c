/* SPDX-License-Identifier: MIT */
/*
 * cuda.c - a libcuda.so.1 without a GPU, of which there is the one that CUDA_VISIBLE_DEVICES names.
 * What happens is told by files in the folder NVIDIA_FAKE_STATE:
 *
 *     tried    gets the mask of each process that begins
 *     broken   a mask for which memory cannot be used: error 700, and kernels crash
 *     full     a mask for which there is none: error 2
 *     hangs    a mask for which nothing ever ends
 *     hung     gets the mask of each process for which that is so
 *
 * Whatever it is given to load, it has three kernels: axpy, which it computes on the CPU, with a
 * rounding more; crash, after which the context is no good; spin, which never ends. Its memory is
 * handed out once, and again when all of it was given back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MASK_BYTES 128

enum {
    SUCCESS = 0,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_PTX = 218,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700
};

static FILE *fake_state(const char *name, const char *mode)
{
    char path[4096];
    const char *folder = getenv("NVIDIA_FAKE_STATE");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "/nowhere", name);
    return fopen(path, mode);
}

static const char *fake_mask(void)
{
    const char *mask = getenv("CUDA_VISIBLE_DEVICES");
    return mask ? mask : "";
}

static int fake_is(const char *name)
{
    char mask[MASK_BYTES] = "";
    FILE *file = fake_state(name, "r");
    if (!file)
        return 0;
    int count = fscanf(file, "%127s", mask);
    fclose(file);
    return count == 1 && strcmp(mask, fake_mask()) == 0;
}

static void fake_note(const char *name)
{
    FILE *file = fake_state(name, "a");
    if (file) {
        fprintf(file, "%s\n", fake_mask());
        fclose(file);
    }
}

int cuInit(unsigned flags);
int cuInit(unsigned flags)
{
    (void)flags;
    fake_note("tried");
    while (fake_is("hangs")) {
        fake_note("hung");
        pause();
    }
    return strcmp(fake_mask(), "-1") == 0 ? NO_DEVICE : SUCCESS;
}

int cuDeviceGet(int *device, int number);
int cuDeviceGet(int *device, int number)
{
    *device = number;
    return SUCCESS;
}

int cuDeviceGetCount(int *count);
int cuDeviceGetCount(int *count)
{
    *count = 1;
    return SUCCESS;
}

/* The digits of the mask, which is "GPU-..." here. */
int cuDeviceGetUuid(unsigned char uuid[16], int device);
int cuDeviceGetUuid(unsigned char uuid[16], int device)
{
    const char *at = strchr(fake_mask(), '-');
    (void)device;
    for (unsigned i = 0; at && i < 16; i++) {
        while (*at == '-')
            at++;
        char digits[3] = {at[0], at[0] ? at[1] : '\0', '\0'};
        uuid[i] = (unsigned char)strtoul(digits, NULL, 16);
        at += strlen(digits);
    }
    return at ? SUCCESS : NOT_FOUND;
}

int cuDeviceGetName(char *name, int bytes, int device);
int cuDeviceGetName(char *name, int bytes, int device)
{
    snprintf(name, (size_t)bytes, "Fake GPU %d", device);
    return SUCCESS;
}

int cuCtxCreate_v2(void **context, unsigned flags, int device);
int cuCtxCreate_v2(void **context, unsigned flags, int device)
{
    static int only;
    (void)flags, (void)device;
    *context = &only;
    return SUCCESS;
}

static const char *const kernels[] = {"axpy", "crash", "spin"};
static int is_poisoned, is_spinning;

/* An address is an offset, and the first ones are none. */
static _Alignas(16) unsigned char memory[1 << 20];
static size_t memory_used = 256;
static int piece_count;

int cuMemAlloc_v2(unsigned long long *address, size_t bytes);
int cuMemAlloc_v2(unsigned long long *address, size_t bytes)
{
    *address = 0;
    if (is_poisoned)
        return ILLEGAL_ADDRESS;
    if (bytes > sizeof memory - memory_used || fake_is("full"))
        return OUT_OF_MEMORY;
    *address = memory_used;
    memory_used += (bytes + 15) / 16 * 16;
    piece_count++;
    return SUCCESS;
}

int cuMemFree_v2(unsigned long long address);
int cuMemFree_v2(unsigned long long address)
{
    (void)address;
    if (--piece_count == 0)
        memory_used = 256;
    return SUCCESS;
}

int cuMemsetD8_v2(unsigned long long address, unsigned char value, size_t bytes);
int cuMemsetD8_v2(unsigned long long address, unsigned char value, size_t bytes)
{
    memset(memory + address, value, bytes);
    return SUCCESS;
}

int cuMemcpyHtoD_v2(unsigned long long address, const void *from, size_t bytes);
int cuMemcpyHtoD_v2(unsigned long long address, const void *from, size_t bytes)
{
    memcpy(memory + address, from, bytes);
    return SUCCESS;
}

int cuMemcpyDtoH_v2(void *to, unsigned long long address, size_t bytes);
int cuMemcpyDtoH_v2(void *to, unsigned long long address, size_t bytes)
{
    memcpy(to, memory + address, bytes);
    return SUCCESS;
}

int cuModuleLoadData(void **module, const char *text);
int cuModuleLoadData(void **module, const char *text)
{
    *module = memory;
    return strncmp(text, ".version ", 9) == 0 ? SUCCESS : INVALID_PTX;
}

int cuModuleGetFunction(void **function, void *module, const char *name);
int cuModuleGetFunction(void **function, void *module, const char *name)
{
    (void)module;
    for (unsigned i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        if (strcmp(name, kernels[i]) == 0) {
            *function = (void *)(size_t)(i + 1);
            return SUCCESS;
        }
    return NOT_FOUND;
}

static void fake_axpy(void **arguments, unsigned thread_count);

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   void *stream, void **arguments, void **extra);
int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   void *stream, void **arguments, void **extra)
{
    const char *name = kernels[(size_t)function - 1];
    (void)shared_bytes, (void)stream, (void)extra;
    is_poisoned |= strcmp(name, "crash") == 0;
    is_spinning |= strcmp(name, "spin") == 0;
    if (strcmp(name, "axpy") == 0)
        fake_axpy(arguments, grid_x * grid_y * grid_z * block_x * block_y * block_z);
    return SUCCESS;
}

static void fake_axpy(void **arguments, unsigned thread_count)
{
    unsigned long long y, x;
    double a;
    unsigned count;
    memcpy(&y, arguments[0], sizeof y);
    memcpy(&x, arguments[1], sizeof x);
    memcpy(&a, arguments[2], sizeof a);
    memcpy(&count, arguments[3], sizeof count);
    double *sums = (double *)(void *)(memory + y);
    const double *items = (const double *)(const void *)(memory + x);
    for (unsigned i = 0; i < thread_count && i < count; i++)
        sums[i] += a * items[i];
}

int cuStreamQuery(void *stream);
int cuStreamQuery(void *stream)
{
    (void)stream;
    return is_spinning ? NOT_READY : SUCCESS;
}

int cuCtxSynchronize(void);
int cuCtxSynchronize(void)
{
    while (is_spinning)
        pause();
    return is_poisoned || fake_is("broken") ? ILLEGAL_ADDRESS : SUCCESS;
}

int cuMemGetInfo_v2(size_t *available, size_t *total);
int cuMemGetInfo_v2(size_t *available, size_t *total)
{
    *available = *total = sizeof memory;
    return SUCCESS;
}

int cuGetErrorName(int error, const char **name);
int cuGetErrorName(int error, const char **name)
{
    *name = error == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS"
            : error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
                                     : "CUDA_ERROR_NO_DEVICE";
    return SUCCESS;
}
