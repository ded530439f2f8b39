/* SPDX-License-Identifier: MIT */
/*
 * opencl.c - a libOpenCL.so.1 with two platforms and no mask, as those of GPUs are. What it does is
 * told by variables:
 *
 *     OCL_FAKE_DEVICES=3   the second platform has so many devices; the first one has one
 *     OCL_FAKE_BUILD=-11   nothing compiles: that error, with a reason
 *     OCL_FAKE_RUN=-4      every kernel but the first one that is enqueued: that error
 *
 * Whatever a kernel is, all that it counts is the number of its device.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_COUNT_MAX 16

enum { DEVICE_NOT_FOUND = -1 };

static char platforms[2];
static char devices[DEVICE_COUNT_MAX];
static int32_t opened; /* the number of the device that has the context */

static int32_t fake_number(const char *name)
{
    const char *text = getenv(name);
    return text ? (int32_t)strtol(text, NULL, 10) : 0;
}

static void *fake_object(int32_t *error)
{
    static char object;
    *error = 0;
    return &object;
}

int32_t clGetPlatformIDs(uint32_t room, char **found, uint32_t *count);
int32_t clGetPlatformIDs(uint32_t room, char **found, uint32_t *count)
{
    for (*count = 0; *count < 2 && *count < room; ++*count)
        found[*count] = &platforms[*count];
    return 0;
}

int32_t clGetDeviceIDs(char *platform, uint64_t kind, uint32_t room, char **found, uint32_t *count);
int32_t clGetDeviceIDs(char *platform, uint64_t kind, uint32_t room, char **found, uint32_t *count)
{
    uint32_t first = platform == platforms ? 0 : 1;
    (void)kind;
    *count = first == 0 ? 1 : (uint32_t)fake_number("OCL_FAKE_DEVICES");
    for (uint32_t i = 0; i < *count && i < room; i++)
        found[i] = &devices[first + i];
    return *count > 0 ? 0 : DEVICE_NOT_FOUND;
}

int32_t clGetDeviceInfo(char *device, uint32_t what, size_t room, char *name, size_t *bytes);
int32_t clGetDeviceInfo(char *device, uint32_t what, size_t room, char *name, size_t *bytes)
{
    (void)what, (void)bytes;
    snprintf(name, room, "Fake %d", (int)(device - devices));
    return 0;
}

void *clCreateContext(void *properties, uint32_t count, char **device, void *call, void *argument,
                      int32_t *error);
void *clCreateContext(void *properties, uint32_t count, char **device, void *call, void *argument,
                      int32_t *error)
{
    (void)properties, (void)count, (void)call, (void)argument;
    opened = (int32_t)(*device - devices);
    return fake_object(error);
}

void *clCreateCommandQueue(void *context, char *device, uint64_t properties, int32_t *error);
void *clCreateCommandQueue(void *context, char *device, uint64_t properties, int32_t *error)
{
    (void)context, (void)device, (void)properties;
    return fake_object(error);
}

void *clCreateBuffer(void *context, uint64_t flags, size_t bytes, void *from, int32_t *error);
void *clCreateBuffer(void *context, uint64_t flags, size_t bytes, void *from, int32_t *error)
{
    (void)context, (void)flags, (void)bytes, (void)from;
    return fake_object(error);
}

void *clCreateProgramWithSource(void *context, uint32_t count, char **text, size_t *bytes,
                                int32_t *error);
void *clCreateProgramWithSource(void *context, uint32_t count, char **text, size_t *bytes,
                                int32_t *error)
{
    (void)context, (void)count, (void)text, (void)bytes;
    return fake_object(error);
}

int32_t clBuildProgram(void *program, uint32_t count, char **device, char *options, void *call,
                       void *argument);
int32_t clBuildProgram(void *program, uint32_t count, char **device, char *options, void *call,
                       void *argument)
{
    (void)program, (void)count, (void)device, (void)options, (void)call, (void)argument;
    return fake_number("OCL_FAKE_BUILD");
}

int32_t clGetProgramBuildInfo(void *program, char *device, uint32_t what, size_t room, char *text,
                              size_t *bytes);
int32_t clGetProgramBuildInfo(void *program, char *device, uint32_t what, size_t room, char *text,
                              size_t *bytes)
{
    (void)program, (void)device, (void)what, (void)bytes;
    snprintf(text, room, "it is not to compile");
    return 0;
}

void *clCreateKernel(void *program, const char *name, int32_t *error);
void *clCreateKernel(void *program, const char *name, int32_t *error)
{
    (void)program, (void)name;
    return fake_object(error);
}

int32_t clSetKernelArg(void *kernel, uint32_t number, size_t bytes, const void *value);
int32_t clSetKernelArg(void *kernel, uint32_t number, size_t bytes, const void *value)
{
    (void)kernel, (void)number, (void)bytes, (void)value;
    return 0;
}

int32_t clEnqueueNDRangeKernel(void *queue, void *kernel, uint32_t dimensions, size_t *first,
                               size_t *count, size_t *group, uint32_t event_count, void *events,
                               void *event);
int32_t clEnqueueNDRangeKernel(void *queue, void *kernel, uint32_t dimensions, size_t *first,
                               size_t *count, size_t *group, uint32_t event_count, void *events,
                               void *event)
{
    static int enqueued;
    (void)queue, (void)kernel, (void)dimensions, (void)first, (void)count, (void)group;
    (void)event_count, (void)events, (void)event;
    return enqueued++ > 0 ? fake_number("OCL_FAKE_RUN") : 0;
}

int32_t clEnqueueReadBuffer(void *queue, void *buffer, uint32_t waits, size_t first, size_t bytes,
                            void *to, uint32_t event_count, void *events, void *event);
int32_t clEnqueueReadBuffer(void *queue, void *buffer, uint32_t waits, size_t first, size_t bytes,
                            void *to, uint32_t event_count, void *events, void *event)
{
    (void)queue, (void)buffer, (void)waits, (void)first;
    (void)event_count, (void)events, (void)event;
    for (size_t at = 0; at + sizeof opened <= bytes; at += sizeof opened)
        memcpy((char *)to + at, &opened, sizeof opened);
    return 0;
}
