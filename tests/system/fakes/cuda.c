/* SPDX-License-Identifier: MIT */
/*
 * cuda.c - a libcuda.so.1 without a GPU, of which there is the one that CUDA_VISIBLE_DEVICES names.
 * What happens is told by files in the folder NVIDIA_FAKE_STATE:
 *
 *     tried    gets the mask of each process that begins
 *     broken   a mask for which memory cannot be used: error 700
 *     full     a mask for which there is none: error 2
 *     hangs    a mask for which nothing ever ends
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MASK_BYTES 128

enum { SUCCESS = 0, OUT_OF_MEMORY = 2, NO_DEVICE = 100, ILLEGAL_ADDRESS = 700 };

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

int cuInit(unsigned flags);
int cuInit(unsigned flags)
{
    (void)flags;
    FILE *file = fake_state("tried", "a");
    if (file) {
        fprintf(file, "%s\n", fake_mask());
        fclose(file);
    }
    while (fake_is("hangs"))
        pause();
    return strcmp(fake_mask(), "-1") == 0 ? NO_DEVICE : SUCCESS;
}

int cuDeviceGet(int *device, int number);
int cuDeviceGet(int *device, int number)
{
    *device = number;
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

static unsigned char memory[1 << 20];

int cuMemAlloc_v2(unsigned long long *address, size_t bytes);
int cuMemAlloc_v2(unsigned long long *address, size_t bytes)
{
    *address = 0;
    return bytes > sizeof memory || fake_is("full") ? OUT_OF_MEMORY : SUCCESS;
}

int cuMemsetD8_v2(unsigned long long address, unsigned char value, size_t bytes);
int cuMemsetD8_v2(unsigned long long address, unsigned char value, size_t bytes)
{
    memset(memory + address, value, bytes);
    return SUCCESS;
}

int cuMemcpyDtoH_v2(void *to, unsigned long long address, size_t bytes);
int cuMemcpyDtoH_v2(void *to, unsigned long long address, size_t bytes)
{
    memcpy(to, memory + address, bytes);
    return SUCCESS;
}

int cuCtxSynchronize(void);
int cuCtxSynchronize(void)
{
    return fake_is("broken") ? ILLEGAL_ADDRESS : SUCCESS;
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
    *name = error == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_NO_DEVICE";
    return SUCCESS;
}
