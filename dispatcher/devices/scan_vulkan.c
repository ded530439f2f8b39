/* SPDX-License-Identifier: MIT */
/*
 * scan_vulkan.c - what Vulkan's loader knows, in its order.
 *
 * The structures are those of the Vulkan 1.3 specification on 64-bit machines, as far as they are
 * read; sections are of that document.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/devices/finding.h"
#include "dispatcher/reactor/library.h"
#include "millrace/check.h"

#define LIBRARY_VULKAN "libvulkan.so.1"
#define EXTENSION_COUNT_MAX 2048u
#define VERSION_1_1 (UINT32_C(1) << 22 | UINT32_C(1) << 12)

enum { VK_SUCCESS = 0, VK_INCOMPLETE = 5, VK_ERROR_INCOMPATIBLE_DRIVER = -9 };
enum { VK_PHYSICAL_DEVICE_TYPE_CPU = 4, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT = 1 };

/* VkStructureType, appendix "Structure Types". */
enum {
    TYPE_APPLICATION_INFO = 0,
    TYPE_INSTANCE_CREATE_INFO = 1,
    TYPE_PROPERTIES_2 = 1000059001,
    TYPE_ID_PROPERTIES = 1000071004,
    TYPE_PCI_BUS_INFO = 1000212000,
};

/* "Instances". */
struct vulkan_application {
    int32_t type;
    const void *next;
    const char *name;
    uint32_t version;
    const char *engine_name;
    uint32_t engine_version, api_version;
};

struct vulkan_creation {
    int32_t type;
    const void *next;
    uint32_t flags;
    const struct vulkan_application *application;
    uint32_t layer_count;
    const char *const *layers;
    uint32_t extension_count;
    const char *const *extensions;
};

/* "Physical Devices": 824 bytes, of which the limits are not read. */
struct vulkan_properties {
    uint32_t api_version, driver_version, vendor, device, kind;
    char name[256];
    uint8_t cache_uuid[16];
    uint64_t rest[96];
};

struct vulkan_properties_2 {
    int32_t type;
    void *next;
    struct vulkan_properties properties;
};

struct vulkan_ids {
    int32_t type;
    void *next;
    uint8_t device[16], driver[16], luid[8];
    uint32_t node_mask, is_luid_valid;
};

/* VK_EXT_pci_bus_info. */
struct vulkan_pci {
    int32_t type;
    void *next;
    uint32_t domain, bus, device, function;
};

/* "Memory Allocation", "Device Memory Properties". */
struct vulkan_memory {
    uint32_t type_count;
    uint32_t types[32][2];
    uint32_t heap_count;
    struct {
        uint64_t bytes;
        uint32_t flags;
    } heaps[16];
};

/* "Extended Functionality", "Extensions". */
struct vulkan_extension {
    char name[256];
    uint32_t version;
};

_Static_assert(offsetof(struct vulkan_creation, application) == 24, "VkInstanceCreateInfo");
_Static_assert(offsetof(struct vulkan_properties, rest) == 296, "VkPhysicalDeviceProperties");
_Static_assert(sizeof(struct vulkan_properties) >= 824, "VkPhysicalDeviceProperties");
_Static_assert(offsetof(struct vulkan_memory, heaps) == 264, "VkPhysicalDeviceMemoryProperties");
_Static_assert(sizeof(struct vulkan_memory) == 520, "VkPhysicalDeviceMemoryProperties");

/* The loader's own. */
struct vulkan_instance;
struct vulkan_device;

struct vulkan_library {
    int32_t (*create)(const struct vulkan_creation *, const void *, struct vulkan_instance **);
    int32_t (*devices)(struct vulkan_instance *, uint32_t *, struct vulkan_device **);
    void (*properties)(struct vulkan_device *, struct vulkan_properties *);
    void (*memory)(struct vulkan_device *, struct vulkan_memory *);
    int32_t (*extensions)(struct vulkan_device *, const char *, uint32_t *,
                          struct vulkan_extension *);
    void (*properties_2)(struct vulkan_device *, struct vulkan_properties_2 *); /* from 1.1 on */
};

#define FUNCTION(place, name)                                                                      \
    {                                                                                              \
        "vk" name, offsetof(struct vulkan_library, place)                                          \
    }
static const struct library_function needed[] = {
    FUNCTION(create, "CreateInstance"),
    FUNCTION(devices, "EnumeratePhysicalDevices"),
    FUNCTION(properties, "GetPhysicalDeviceProperties"),
    FUNCTION(memory, "GetPhysicalDeviceMemoryProperties"),
    FUNCTION(extensions, "EnumerateDeviceExtensionProperties"),
};
static const struct library_function others[] = {
    FUNCTION(properties_2, "GetPhysicalDeviceProperties2"),
};
#undef FUNCTION

static struct vulkan_library vulkan;

static enum scan_message_kind scan_vulkan_begin(struct finding *finding,
                                                struct vulkan_instance **instance);
static void scan_vulkan_add(struct finding *finding, struct vulkan_device *handle);

enum scan_message_kind scan_vulkan(struct finding *finding)
{
    static struct vulkan_device *handles[DEVICE_COUNT_MAX];
    struct vulkan_instance *instance;
    uint32_t count = DEVICE_COUNT_MAX;
    enum scan_message_kind begun = scan_vulkan_begin(finding, &instance);
    if (begun != SCAN_DONE)
        return begun;
    int32_t error = vulkan.devices(instance, &count, handles);
    if (error != VK_SUCCESS && error != VK_INCOMPLETE) {
        finding_say(finding, "cannot list the devices: Vulkan's error %d", error);
        return SCAN_FAILED;
    }
    if (count == 0) {
        finding_say(finding, "Vulkan's drivers know no device");
        return SCAN_ABSENT;
    }
    for (uint32_t i = 0; i < count && i < DEVICE_COUNT_MAX; i++)
        scan_vulkan_add(finding, handles[i]);
    if (error == VK_INCOMPLETE)
        finding_say(finding, "there are more than %u devices", DEVICE_COUNT_MAX);
    return SCAN_DONE;
}

static enum scan_message_kind scan_vulkan_begin(struct finding *finding,
                                                struct vulkan_instance **instance)
{
    const struct vulkan_application application = {
        .type = TYPE_APPLICATION_INFO, .name = "millrace", .api_version = VERSION_1_1};
    struct vulkan_creation creation = {.type = TYPE_INSTANCE_CREATE_INFO,
                                       .application = &application};
    const char *why = library_load(LIBRARY_VULKAN, needed, ARRAY_COUNT(needed), &vulkan);
    if (!why)
        why = library_load_some(LIBRARY_VULKAN, others, ARRAY_COUNT(others), &vulkan);
    if (why)
        return finding_no_library(finding, LIBRARY_VULKAN, why);
    /* A loader of 1.0 refuses to be asked for more. */
    if (!vulkan.properties_2)
        creation.application = NULL;
    int32_t error = vulkan.create(&creation, NULL, instance);
    if (error == VK_SUCCESS)
        return SCAN_DONE;
    if (error == VK_ERROR_INCOMPATIBLE_DRIVER) {
        finding_say(finding, "Vulkan's loader finds no driver");
        return SCAN_ABSENT;
    }
    finding_say(finding, "Vulkan cannot begin: error %d", error);
    return SCAN_FAILED;
}

static bool scan_vulkan_tells_pci(struct vulkan_device *handle)
{
    uint32_t count = 0;
    bool tells = false;
    if (vulkan.extensions(handle, NULL, &count, NULL) != VK_SUCCESS || count > EXTENSION_COUNT_MAX)
        return false;
    struct vulkan_extension *extensions = calloc(count + 1, sizeof(*extensions));
    if (extensions && vulkan.extensions(handle, NULL, &count, extensions) == VK_SUCCESS)
        for (uint32_t i = 0; i < count && !tells; i++)
            tells =
                strncmp(extensions[i].name, "VK_EXT_pci_bus_info", sizeof(extensions[i].name)) == 0;
    free(extensions);
    return tells;
}

static void scan_vulkan_uuid_write(char out[DEVICE_UUID_BYTES], const uint8_t uuid[16])
{
    size_t used = 0;
    for (size_t i = 0; i < 16; i++)
        used += (size_t)snprintf(out + used, DEVICE_UUID_BYTES - used, "%s%02x",
                                 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

static void scan_vulkan_ids_fill(struct device *device, struct vulkan_device *handle)
{
    static const uint8_t none[16];
    bool tells_pci = scan_vulkan_tells_pci(handle);
    struct vulkan_pci pci = {.type = TYPE_PCI_BUS_INFO};
    struct vulkan_ids ids = {.type = TYPE_ID_PROPERTIES, .next = tells_pci ? &pci : NULL};
    struct vulkan_properties_2 properties = {.type = TYPE_PROPERTIES_2, .next = &ids};
    vulkan.properties_2(handle, &properties);
    if (memcmp(ids.device, none, sizeof(none)) != 0)
        scan_vulkan_uuid_write(device->uuid, ids.device);
    if (tells_pci)
        snprintf(device->pci, sizeof(device->pci), "%04x:%02x:%02x.%x", pci.domain, pci.bus & 0xff,
                 pci.device & 0xff, pci.function & 0x7);
}

static void scan_vulkan_add(struct finding *finding, struct vulkan_device *handle)
{
    struct vulkan_properties properties = {0};
    struct vulkan_memory memory = {0};
    struct device *device = finding_next(finding, DEVICE_VULKAN);
    if (!device)
        return;
    vulkan.properties(handle, &properties);
    vulkan.memory(handle, &memory);
    device_text_copy(device->name, sizeof(device->name), properties.name, sizeof(properties.name));
    for (uint32_t i = 0; i < memory.heap_count && i < ARRAY_COUNT(memory.heaps); i++)
        if (memory.heaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            device->memory_bytes += memory.heaps[i].bytes;
    if (vulkan.properties_2 && properties.api_version >= VERSION_1_1)
        scan_vulkan_ids_fill(device, handle);
    if (properties.kind != VK_PHYSICAL_DEVICE_TYPE_CPU)
        snprintf(device->nodes, sizeof(device->nodes), "/dev/dri");
    finding_keep(finding);
}
