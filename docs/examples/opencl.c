/* SPDX-License-Identifier: MIT */
/*
 * opencl.c - the rows of a picture of the Mandelbrot set, computed on an OpenCL device.
 *
 *     cc -shared -fPIC opencl.c -o opencl.so $(pkg-config --cflags millrace)
 *     millrace serve opencl.so --devices opencl:x4
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"integer","value":6},{"type":"integer","value":4},
 *                         {"type":"integer","value":50}]}'
 *
 * The inputs are columns, rows and iterations; a line is a row, an array with the iterations that
 * each point stayed in. Floats are rounded as IEEE 754 says, so every device has the same numbers.
 *
 * The library is loaded when the worker starts: to compile this takes no OpenCL. Where there is no
 * GPU, PoCL computes on processors (Debian: pocl-opencl-icd ocl-icd-libopencl1), with a device for
 * each of four workers. It keeps what it compiled in ~/.cache, or where --env POCL_CACHE_DIR=DIR
 * says. The library of a GPU shows all devices to every worker, which takes that of its number.
 *
 * Each call of next() computes a row: between two a run can be cancelled, and others have a turn.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#include <millrace/pipeline.h>

#define COLUMN_COUNT_MAX 4096
#define ROW_COUNT_MAX 100000
#define ITERATION_COUNT_MAX 100000
#define GROUP_SIZE 64u /* divides COLUMN_COUNT_MAX */
#define DEVICE_COUNT_MAX 64u
#define TEXT_BYTES 4096 /* of a name, and of what a compiler says */

/* ---- OpenCL -------------------------------------------------------------------------------- */

/* What is used of it, as in the OpenCL 1.2 specification; callbacks and lists of events, of which
 * there are none, are void *. With <CL/cl.h> and -lOpenCL all of this and library_load() can go. */
typedef int32_t cl_int;
typedef uint32_t cl_uint;
typedef uint64_t cl_bitfield;
typedef struct cl_platform *cl_platform_id;
typedef struct cl_device *cl_device_id;
typedef struct cl_context_ *cl_context;
typedef struct cl_queue *cl_command_queue;
typedef struct cl_memory *cl_mem;
typedef struct cl_program_ *cl_program;
typedef struct cl_kernel_ *cl_kernel;

enum {
    CL_SUCCESS = 0,
    CL_MEM_OBJECT_ALLOCATION_FAILURE = -4,
    CL_OUT_OF_HOST_MEMORY = -6,
    CL_TRUE = 1,
    CL_MEM_WRITE_ONLY = 1 << 1,
    CL_DEVICE_NAME = 0x102b,
    CL_PROGRAM_BUILD_LOG = 0x1183
};
#define CL_DEVICE_TYPE_ALL 0xffffffffu

/* 4.1, 4.2, 4.4: platforms, devices, contexts. */
static cl_int (*clGetPlatformIDs)(cl_uint, cl_platform_id *, cl_uint *);
static cl_int (*clGetDeviceIDs)(cl_platform_id, cl_bitfield, cl_uint, cl_device_id *, cl_uint *);
static cl_int (*clGetDeviceInfo)(cl_device_id, cl_uint, size_t, void *, size_t *);
static cl_context (*clCreateContext)(const void *, cl_uint, const cl_device_id *, void *, void *,
                                     cl_int *);
/* 5.1, 5.2: queues, memory. */
static cl_command_queue (*clCreateCommandQueue)(cl_context, cl_device_id, cl_bitfield, cl_int *);
static cl_mem (*clCreateBuffer)(cl_context, cl_bitfield, size_t, void *, cl_int *);
static cl_int (*clEnqueueReadBuffer)(cl_command_queue, cl_mem, cl_uint, size_t, size_t, void *,
                                     cl_uint, const void *, void *);
/* 5.6, 5.7, 5.8: programs, kernels, and running them. */
static cl_program (*clCreateProgramWithSource)(cl_context, cl_uint, const char **, const size_t *,
                                               cl_int *);
static cl_int (*clBuildProgram)(cl_program, cl_uint, const cl_device_id *, const char *, void *,
                                void *);
static cl_int (*clGetProgramBuildInfo)(cl_program, cl_device_id, cl_uint, size_t, void *, size_t *);
static cl_kernel (*clCreateKernel)(cl_program, const char *, cl_int *);
static cl_int (*clSetKernelArg)(cl_kernel, cl_uint, size_t, const void *);
static cl_int (*clEnqueueNDRangeKernel)(cl_command_queue, cl_kernel, cl_uint, const size_t *,
                                        const size_t *, const size_t *, cl_uint, const void *,
                                        void *);

static bool function_load(void *library, const char *name, void *place)
{
    void *function = dlsym(library, name);
    memcpy(place, &function, sizeof function);
    return function != NULL;
}

/* NULL, or why it cannot be used. */
static const char *library_load(void)
{
#define LOAD(name) function_load(library, #name, &name)
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    bool is_whole = library && LOAD(clGetPlatformIDs) && LOAD(clGetDeviceIDs) &&
                    LOAD(clGetDeviceInfo) && LOAD(clCreateContext) && LOAD(clCreateCommandQueue) &&
                    LOAD(clCreateBuffer) && LOAD(clEnqueueReadBuffer) &&
                    LOAD(clCreateProgramWithSource) && LOAD(clBuildProgram) &&
                    LOAD(clGetProgramBuildInfo) && LOAD(clCreateKernel) && LOAD(clSetKernelArg) &&
                    LOAD(clEnqueueNDRangeKernel);
    return is_whole ? NULL : dlerror();
}

/* What clients are told. Of a device that failed the worker is replaced (--on-cuda-error), and
 * CL_OUT_OF_RESOURCES may mean that: some drivers say it of a kernel that crashed. */
static enum mr_error error_of(cl_int error)
{
    if (error == CL_OUT_OF_HOST_MEMORY)
        return MR_ERROR_OOM;
    return error == CL_MEM_OBJECT_ALLOCATION_FAILURE ? MR_ERROR_CUDA_OOM : MR_ERROR_CUDA;
}

/* ---- the start ----------------------------------------------------------------------------- */

/* Nothing is fused, or a device with fused operations would round otherwise. */
static const char source[] =
    "#pragma OPENCL FP_CONTRACT OFF\n"
    "kernel void mandelbrot(global int *counts, int columns, int row, int iterations,\n"
    "                       float x_step, float y_step)\n"
    "{\n"
    "    int count = 0, column = get_global_id(0);\n"
    "    float x = column * x_step - 2.0f, y = 1.2f - row * y_step, re = 0.0f, im = 0.0f;\n"
    "    for (; count < iterations && re * re + im * im <= 4.0f; count++) {\n"
    "        float next = re * re - im * im + x;\n"
    "        im = 2.0f * re * im + y;\n"
    "        re = next;\n"
    "    }\n"
    "    if (column < columns)\n"
    "        counts[column] = count;\n"
    "}\n";

/* One for each worker, until its end. */
struct device {
    cl_context context;
    cl_command_queue queue;
    cl_kernel kernel;
    cl_mem counts;                /* of one row, on the device */
    cl_int row[COLUMN_COUNT_MAX]; /* and here */
};

/* One for each run. */
struct picture {
    struct device *device;
    cl_int columns, rows, iterations, next; /* row */
};

/* Of all platforms, in the library's order. */
static cl_uint find_devices(cl_device_id found[DEVICE_COUNT_MAX])
{
    cl_platform_id platforms[DEVICE_COUNT_MAX];
    cl_uint platform_count = 0, count = 0;
    if (clGetPlatformIDs(DEVICE_COUNT_MAX, platforms, &platform_count) != CL_SUCCESS)
        return 0;
    for (cl_uint i = 0; i < platform_count && i < DEVICE_COUNT_MAX; i++) {
        cl_uint more = 0, room = DEVICE_COUNT_MAX - count;
        if (room > 0 && clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, room, found + count,
                                       &more) == CL_SUCCESS)
            count += more < room ? more : room;
    }
    return count;
}

/* The only one that is seen, or the one of this worker's number. */
static int pick_device(struct mr_call *call, cl_device_id *device)
{
    cl_device_id found[DEVICE_COUNT_MAX];
    cl_uint count = find_devices(found);
    const struct mr_device_info *given = mr_device();
    bool is_given = count > 1 && given && strcmp(given->kind, "opencl") == 0;
    cl_uint number = is_given ? (cl_uint)given->index : 0;
    if (number >= count)
        return mr_fail(call, MR_ERROR_STARTUP, "no OpenCL device %u: %u are seen%s", number, count,
                       count == 0 ? "; PoCL has none where it cannot write POCL_CACHE_DIR" : "");
    char name[TEXT_BYTES] = "";
    clGetDeviceInfo(found[number], CL_DEVICE_NAME, sizeof name - 1, name, NULL);
    mr_log(MR_LOG_INFO, "OpenCL device %u of %u: %s", number, count, name);
    *device = found[number];
    return 0;
}

static cl_int build_kernel(struct device *device, cl_device_id id)
{
    const char *text = source;
    cl_int error;
    cl_program program = clCreateProgramWithSource(device->context, 1, &text, NULL, &error);
    if (error == CL_SUCCESS)
        error = clBuildProgram(program, 1, &id, "", NULL, NULL);
    if (error == CL_SUCCESS) {
        device->kernel = clCreateKernel(program, "mandelbrot", &error);
    } else if (program) {
        char log[TEXT_BYTES] = "";
        clGetProgramBuildInfo(program, id, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, NULL);
        mr_log(MR_LOG_ERROR, "the kernel does not compile: %s", log);
    }
    return error;
}

/* Counts one row. The call waits until the row is read, so all runs of the worker can have the same
 * kernel, and the same memory. */
static cl_int compute_row(struct device *device, const struct picture *picture)
{
    const float x_step = 3.0f / (float)picture->columns, y_step = 2.4f / (float)picture->rows;
    const size_t count = (size_t)picture->columns, group = GROUP_SIZE;
    const size_t whole_groups = (count + group - 1) / group * group;
    const void *const arguments[] = {&picture->columns, &picture->next, &picture->iterations,
                                     &x_step, &y_step};
    cl_int error = clSetKernelArg(device->kernel, 0, sizeof device->counts, &device->counts);
    for (cl_uint i = 0; i < 5 && error == CL_SUCCESS; i++) /* each has four bytes */
        error = clSetKernelArg(device->kernel, i + 1, 4, arguments[i]);
    if (error == CL_SUCCESS)
        error = clEnqueueNDRangeKernel(device->queue, device->kernel, 1, NULL, &whole_groups,
                                       &group, 0, NULL, NULL);
    if (error == CL_SUCCESS)
        error = clEnqueueReadBuffer(device->queue, device->counts, CL_TRUE, 0,
                                    count * sizeof device->row[0], device->row, 0, NULL, NULL);
    return error;
}

static cl_int open_device(struct device *device, cl_device_id id)
{
    cl_int error;
    device->context = clCreateContext(NULL, 1, &id, NULL, NULL, &error);
    if (error == CL_SUCCESS)
        device->queue = clCreateCommandQueue(device->context, id, 0, &error);
    if (error == CL_SUCCESS)
        device->counts =
            clCreateBuffer(device->context, CL_MEM_WRITE_ONLY, sizeof device->row, NULL, &error);
    return error;
}

/* The first row is for nobody: many drivers compile only then, and no run shall wait for that. */
static int start(struct mr_call *call)
{
    struct device *device = mr_state(call);
    cl_device_id id;
    const char *reason = library_load();
    if (reason)
        return mr_fail(call, MR_ERROR_STARTUP, "no OpenCL: %s", reason);
    int rc = pick_device(call, &id);
    if (rc < 0)
        return rc;
    mr_startup_progress(0.2, "opening the device");
    cl_int error = open_device(device, id);
    mr_startup_progress(0.5, "compiling the kernel");
    if (error == CL_SUCCESS)
        error = build_kernel(device, id);
    mr_startup_progress(0.8, "computing a first row");
    if (error == CL_SUCCESS)
        error = compute_row(device, &(struct picture){.columns = 1, .rows = 1, .iterations = 1});
    if (error != CL_SUCCESS)
        return mr_fail(call, MR_ERROR_STARTUP, "the device cannot be used: OpenCL error %d", error);
    return 0;
}

/* ---- a run --------------------------------------------------------------------------------- */

static int picture_next(void *state, struct mr_value *out)
{
    struct picture *picture = state;
    if (picture->next == picture->rows)
        return MR_END;
    cl_int error = compute_row(picture->device, picture);
    if (error != CL_SUCCESS)
        return mr_value_fail(out, error_of(error), "row %d: OpenCL error %d", picture->next, error);
    picture->next++;
    int rc = mr_value_array(out, (size_t)picture->columns);
    for (cl_int i = 0; i < picture->columns; i++)
        rc = mr_value_integer(out, picture->device->row[i]);
    return rc;
}

static int draw(struct mr_call *call)
{
    static const char *const names[] = {"columns", "rows", "iterations"};
    static const int max[] = {COLUMN_COUNT_MAX, ROW_COUNT_MAX, ITERATION_COUNT_MAX};
    for (size_t i = 0; i < 3; i++)
        if (mr_arg_integer(call, i) < 1 || mr_arg_integer(call, i) > max[i])
            return mr_fail(call, MR_ERROR_INPUT, "%s: from 1 to %d", names[i], max[i]);
    struct picture *picture = mr_alloc(call, sizeof *picture);
    if (!picture)
        return -1; /* mr_alloc() has said why */
    picture->device = mr_state(call);
    picture->columns = (cl_int)mr_arg_integer(call, 0);
    picture->rows = (cl_int)mr_arg_integer(call, 1);
    picture->iterations = (cl_int)mr_arg_integer(call, 2);
    return mr_return_stream(call, &(struct mr_iterator){.state = picture, .next = picture_next});
}

MR_PIPELINE(opencl)
{
    static struct device device;
    mr_set_state(builder, &device, NULL);
    mr_on_startup(builder, start);
    mr_variable columns = mr_input(builder, MR_INTEGER, .title = "columns", .ge = "1");
    mr_variable rows = mr_input(builder, MR_INTEGER, .title = "rows", .ge = "1");
    mr_variable iterations = mr_input(builder, MR_INTEGER, .title = "iterations", .ge = "1");
    mr_output(builder, mr_pipe(builder, draw, MR_STREAM, columns, rows, iterations));
}
