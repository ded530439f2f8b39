/* SPDX-License-Identifier: MIT */
/*
 * cuda.c - adds up multiples of a vector on an NVIDIA GPU: y = a * x + y, again and again.
 *
 *     cc -shared -fPIC cuda.c -o cuda.so $(pkg-config --cflags millrace)
 *     millrace serve cuda.so --devices cuda
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"array","value":[1,2.5,-3]},{"type":"fp","value":0.5},
 *                         {"type":"integer","value":3}]}'
 *
 * The inputs are x, a and how many times; a line is y after each time. Every worker has a GPU, or a
 * slice of one, and the driver shows it no other (CUDA_VISIBLE_DEVICES): it is always number 0.
 *
 * The driver is loaded when the worker starts: to compile this takes no CUDA. The kernel is PTX,
 * which the driver compiles for the GPU that is there.
 *
 * This was tried with a stand-in for libcuda alone, which computes on the CPU, and not on a GPU.
 *
 * Each call of next() computes y once more: between two a run can be cancelled, and others have a
 * turn. Clients are told cuda_oom when the memory of the GPU is used up, and of every other error
 * cuda_error with the driver's name for it; the worker is replaced then (--on-cuda-error), for a
 * context that failed once computes no more.
 */
#include <dlfcn.h>
#include <string.h>

#include <millrace/pipeline.h>

#define VECTOR_COUNT_MAX (1 << 20)
#define STEP_COUNT_MAX 1000000
#define BLOCK_SIZE 256u
#define NAME_BYTES 128

/* ---- the driver ---------------------------------------------------------------------------- */

/* What is used of it, as in the CUDA Driver API: "Data types", "Initialization", "Device",
 * "Context", "Module", "Memory" and "Execution Control". With <cuda.h> and -lcuda all of this and
 * library_load() can go. */
typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct cuda_context *CUcontext;
typedef struct cuda_module *CUmodule;
typedef struct cuda_function *CUfunction;

enum { CUDA_SUCCESS = 0, CUDA_ERROR_OUT_OF_MEMORY = 2 };

static CUresult (*cuInit)(unsigned flags);
static CUresult (*cuGetErrorName)(CUresult, const char **);
static CUresult (*cuDeviceGet)(CUdevice *, int number);
static CUresult (*cuDeviceGetName)(char *, int bytes, CUdevice);
static CUresult (*cuCtxCreate)(CUcontext *, unsigned flags, CUdevice);
static CUresult (*cuModuleLoadData)(CUmodule *, const void *);
static CUresult (*cuModuleGetFunction)(CUfunction *, CUmodule, const char *);
static CUresult (*cuMemAlloc)(CUdeviceptr *, size_t);
static CUresult (*cuMemFree)(CUdeviceptr);
static CUresult (*cuMemsetD8)(CUdeviceptr, unsigned char, size_t);
static CUresult (*cuMemcpyHtoD)(CUdeviceptr, const void *, size_t);
static CUresult (*cuMemcpyDtoH)(void *, CUdeviceptr, size_t);
static CUresult (*cuLaunchKernel)(CUfunction, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                  unsigned block_x, unsigned block_y, unsigned block_z,
                                  unsigned shared_bytes, void *stream, void **arguments, void **);
static CUresult (*cuCtxSynchronize)(void);

static bool function_load(void *library, const char *name, void *place)
{
    void *function = dlsym(library, name);
    memcpy(place, &function, sizeof function);
    return function != NULL;
}

/* NULL, or why it cannot be used. Of some functions <cuda.h> means the second version. */
static const char *library_load(void)
{
#define LOAD(name, version) function_load(library, #name version, &name)
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    bool is_whole =
        library && LOAD(cuInit, "") && LOAD(cuGetErrorName, "") && LOAD(cuDeviceGet, "") &&
        LOAD(cuDeviceGetName, "") && LOAD(cuCtxCreate, "_v2") && LOAD(cuModuleLoadData, "") &&
        LOAD(cuModuleGetFunction, "") && LOAD(cuMemAlloc, "_v2") && LOAD(cuMemFree, "_v2") &&
        LOAD(cuMemsetD8, "_v2") && LOAD(cuMemcpyHtoD, "_v2") && LOAD(cuMemcpyDtoH, "_v2") &&
        LOAD(cuLaunchKernel, "") && LOAD(cuCtxSynchronize, "");
    return is_whole ? NULL : dlerror();
}

static const char *name_of(CUresult error)
{
    const char *name = NULL;
    return cuGetErrorName(error, &name) == CUDA_SUCCESS && name ? name : "unknown error";
}

static enum mr_error kind_of(CUresult error)
{
    return error == CUDA_ERROR_OUT_OF_MEMORY ? MR_ERROR_CUDA_OOM : MR_ERROR_CUDA;
}

/* ---- the start ----------------------------------------------------------------------------- */

/*
 *     extern "C" __global__ void axpy(double *y, const double *x, double a, unsigned count)
 *     {
 *         unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
 *         if (i < count)
 *             y[i] = fma(a, x[i], y[i]);
 *     }
 *
 * as clang makes it of that: -x cuda --cuda-device-only --cuda-gpu-arch=sm_60 -O2 -S.
 */
/* clang-format off */
static const char ptx[] =
    ".version 5.0\n"
    ".target sm_60\n"
    ".address_size 64\n"
    ".visible .entry axpy(.param .u64 axpy_param_0, .param .u64 axpy_param_1,\n"
    "                     .param .f64 axpy_param_2, .param .u32 axpy_param_3)\n"
    "{\n"
    "    .reg .pred %p<2>;\n"
    "    .reg .b32 %r<6>;\n"
    "    .reg .b64 %rd<8>;\n"
    "    .reg .f64 %fd<5>;\n"
    "    ld.param.u32 %r1, [axpy_param_3];\n"
    "    mov.u32 %r2, %ctaid.x;\n"
    "    mov.u32 %r3, %ntid.x;\n"
    "    mov.u32 %r4, %tid.x;\n"
    "    mad.lo.s32 %r5, %r2, %r3, %r4;\n"
    "    setp.ge.u32 %p1, %r5, %r1;\n"
    "    @%p1 bra LBB0_2;\n"
    "    ld.param.f64 %fd1, [axpy_param_2];\n"
    "    ld.param.u64 %rd3, [axpy_param_0];\n"
    "    ld.param.u64 %rd4, [axpy_param_1];\n"
    "    cvta.to.global.u64 %rd5, %rd4;\n"
    "    cvta.to.global.u64 %rd6, %rd3;\n"
    "    mul.wide.u32 %rd7, %r5, 8;\n"
    "    add.s64 %rd1, %rd6, %rd7;\n"
    "    add.s64 %rd2, %rd5, %rd7;\n"
    "    ld.global.f64 %fd2, [%rd2];\n"
    "    ld.global.f64 %fd3, [%rd1];\n"
    "    fma.rn.f64 %fd4, %fd1, %fd2, %fd3;\n"
    "    st.global.f64 [%rd1], %fd4;\n"
    "LBB0_2:\n"
    "    ret;\n"
    "}\n";
/* clang-format on */

/* The context is that of the thread, which all functions below are called from. */
struct device {
    CUcontext context;
    CUfunction axpy;
};

static CUresult open_device(struct device *device)
{
    char name[NAME_BYTES] = "";
    CUdevice number;
    CUresult error = cuInit(0);
    if (error == CUDA_SUCCESS)
        error = cuDeviceGet(&number, 0);
    if (error == CUDA_SUCCESS)
        error = cuDeviceGetName(name, sizeof name, number);
    if (error == CUDA_SUCCESS)
        error = cuCtxCreate(&device->context, 0, number);
    if (error == CUDA_SUCCESS)
        mr_log(MR_LOG_INFO, "CUDA device %d of this worker: %s", number, name);
    return error;
}

static int start(struct mr_call *call)
{
    struct device *device = mr_state(call);
    CUmodule module;
    const char *reason = library_load();
    if (reason)
        return mr_fail(call, MR_ERROR_STARTUP, "no CUDA: %s", reason);
    mr_startup_progress(0.1, "opening the GPU");
    CUresult error = open_device(device);
    if (error != CUDA_SUCCESS)
        return mr_fail(call, MR_ERROR_STARTUP, "no GPU: %s (%d)", name_of(error), error);
    mr_startup_progress(0.6, "compiling the kernel");
    error = cuModuleLoadData(&module, ptx);
    if (error == CUDA_SUCCESS)
        error = cuModuleGetFunction(&device->axpy, module, "axpy");
    if (error != CUDA_SUCCESS)
        return mr_fail(call, MR_ERROR_STARTUP, "no kernel: %s (%d)", name_of(error), error);
    return 0;
}

/* ---- a run --------------------------------------------------------------------------------- */

struct sum {
    const struct device *device;
    CUdeviceptr x, y; /* 0: there is none */
    double a;
    int64_t next, step_count;
    unsigned count;
    double items[]; /* x, and then each y */
};

static CUresult compute_step(struct sum *sum)
{
    const unsigned block_count = (sum->count + BLOCK_SIZE - 1) / BLOCK_SIZE;
    void *arguments[] = {&sum->y, &sum->x, &sum->a, &sum->count};
    CUresult error = cuLaunchKernel(sum->device->axpy, block_count, 1, 1, BLOCK_SIZE, 1, 1, 0, NULL,
                                    arguments, NULL);
    if (error == CUDA_SUCCESS)
        error = cuCtxSynchronize(); /* tells what became of the kernel */
    if (error == CUDA_SUCCESS)
        error = cuMemcpyDtoH(sum->items, sum->y, sum->count * sizeof sum->items[0]);
    return error;
}

static int sum_next(void *state, struct mr_value *out)
{
    struct sum *sum = state;
    if (sum->next == sum->step_count)
        return MR_END;
    CUresult error = compute_step(sum);
    if (error != CUDA_SUCCESS)
        return mr_value_fail(out, kind_of(error), "%s (%d)", name_of(error), error);
    sum->next++;
    int rc = mr_value_array(out, sum->count);
    for (unsigned i = 0; i < sum->count; i++)
        rc = mr_value_fp(out, sum->items[i]);
    return rc;
}

static void sum_close(void *state)
{
    struct sum *sum = state;
    if (sum->y)
        cuMemFree(sum->y);
    if (sum->x)
        cuMemFree(sum->x);
}

/* Both vectors to the device; y is 0. */
static CUresult send_vectors(struct sum *sum)
{
    const size_t bytes = sum->count * sizeof sum->items[0];
    CUresult error = cuMemAlloc(&sum->x, bytes);
    if (error == CUDA_SUCCESS)
        error = cuMemAlloc(&sum->y, bytes);
    if (error == CUDA_SUCCESS)
        error = cuMemcpyHtoD(sum->x, sum->items, bytes);
    if (error == CUDA_SUCCESS)
        error = cuMemsetD8(sum->y, 0, bytes);
    return error;
}

/* A number as a double. */
static bool read_number(const struct mr_object *object, double *number)
{
    if (object->type == MR_FP)
        *number = object->u.fp;
    else if (object->type == MR_INTEGER)
        *number = object->is_unsigned ? (double)object->u.natural : (double)object->u.integer;
    return object->type == MR_FP || object->type == MR_INTEGER;
}

static int add_up(struct mr_call *call)
{
    const struct mr_object *x = mr_arg(call, 0);
    const size_t count = x->u.array.count;
    if (count < 1 || count > VECTOR_COUNT_MAX)
        return mr_fail(call, MR_ERROR_INPUT, "x: from 1 to %d numbers", VECTOR_COUNT_MAX);
    if (mr_arg_integer(call, 2) < 1 || mr_arg_integer(call, 2) > STEP_COUNT_MAX)
        return mr_fail(call, MR_ERROR_INPUT, "times: from 1 to %d", STEP_COUNT_MAX);
    struct sum *sum = mr_alloc(call, sizeof *sum + count * sizeof sum->items[0]);
    if (!sum)
        return -1; /* mr_alloc() has said why */
    sum->device = mr_state(call);
    sum->a = mr_arg_fp(call, 1);
    sum->step_count = mr_arg_integer(call, 2);
    sum->count = (unsigned)count;
    for (size_t i = 0; i < count; i++)
        if (!read_number(&x->u.array.items[i], &sum->items[i]))
            return mr_fail(call, MR_ERROR_INPUT, "x: item %zu is no number", i);
    CUresult error = send_vectors(sum);
    if (error == CUDA_SUCCESS)
        return mr_return_stream(call, &(struct mr_iterator){sum, sum_next, sum_close});
    sum_close(sum);
    return mr_fail(call, kind_of(error), "%s (%d)", name_of(error), error);
}

MR_PIPELINE(cuda)
{
    static struct device device;
    mr_set_state(builder, &device, NULL);
    mr_on_startup(builder, start);
    mr_variable x = mr_input(builder, MR_ARRAY, .title = "x", .description = "numbers");
    mr_variable a = mr_input(builder, MR_FP, .title = "a");
    mr_variable times = mr_input(builder, MR_INTEGER, .title = "times", .ge = "1");
    mr_output(builder, mr_pipe(builder, add_up, MR_STREAM, x, a, times));
}
