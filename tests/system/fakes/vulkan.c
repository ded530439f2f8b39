/* SPDX-License-Identifier: MIT */
/*
 * vulkan.c - a libvulkan.so.1 with a discrete GPU and two processors that draw, which share a UUID.
 * VK_FAKE=-9 has it refuse to begin with that error.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_COUNT 3u
#define GIB (1024ull * 1024 * 1024)

static int gpus[DEVICE_COUNT];

/* What a structure says it is, and what hangs on it. */
struct link {
    int32_t type;
    struct link *next;
    uint8_t bytes[];
};

enum { ID_PROPERTIES = 1000071004, PCI_BUS_INFO = 1000212000, DEVICE_LOCAL = 1 };

int32_t vkCreateInstance(const void *creation, const void *memory, void **instance);
int32_t vkCreateInstance(const void *creation, const void *memory, void **instance)
{
    const char *error = getenv("VK_FAKE");
    (void)creation;
    (void)memory;
    *instance = gpus;
    return error ? (int32_t)strtol(error, NULL, 10) : 0;
}

int32_t vkEnumeratePhysicalDevices(void *instance, uint32_t *count, int **devices);
int32_t vkEnumeratePhysicalDevices(void *instance, uint32_t *count, int **devices)
{
    (void)instance;
    *count = DEVICE_COUNT;
    for (uint32_t i = 0; i < DEVICE_COUNT; i++)
        devices[i] = &gpus[i];
    return 0;
}

/* Of a device: version, driver's, vendor, device, kind (2 discrete, 4 a processor), name. */
void vkGetPhysicalDeviceProperties(const int *device, void *properties);
void vkGetPhysicalDeviceProperties(const int *device, void *properties)
{
    uint32_t words[] = {1u << 22 | 3u << 12, 1, 0x1002, 1, device == gpus ? 2 : 4};
    memset(properties, 0, 824);
    memcpy(properties, words, sizeof(words));
    snprintf((char *)properties + sizeof(words), 256, "Fake Vulkan %d", (int)(device - gpus));
}

/* Two heaps: one of the device, one of the system. */
void vkGetPhysicalDeviceMemoryProperties(const int *device, uint32_t *memory);
void vkGetPhysicalDeviceMemoryProperties(const int *device, uint32_t *memory)
{
    uint64_t heaps[][2] = {{8 * GIB, DEVICE_LOCAL}, {64 * GIB, 0}};
    (void)device;
    memset(memory, 0, 520);
    memory[65] = 2;
    memcpy(memory + 66, heaps, sizeof(heaps));
}

int32_t vkEnumerateDeviceExtensionProperties(const int *device, const char *layer, uint32_t *count,
                                             char *extensions);
int32_t vkEnumerateDeviceExtensionProperties(const int *device, const char *layer, uint32_t *count,
                                             char *extensions)
{
    (void)layer;
    *count = device == gpus ? 1 : 0;
    if (extensions && *count == 1)
        snprintf(extensions, 256, "VK_EXT_pci_bus_info");
    return 0;
}

void vkGetPhysicalDeviceProperties2(const int *device, struct link *properties);
void vkGetPhysicalDeviceProperties2(const int *device, struct link *properties)
{
    uint32_t place[] = {0, 0x10, 0, 0};
    vkGetPhysicalDeviceProperties(device, properties->bytes);
    for (struct link *at = properties->next; at; at = at->next) {
        if (at->type == ID_PROPERTIES)
            memset(at->bytes, device == gpus ? 0xab : 0xcd, 16);
        if (at->type == PCI_BUS_INFO)
            memcpy(at->bytes, place, sizeof(place));
    }
}
