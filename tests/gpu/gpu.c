/* SPDX-License-Identifier: MIT */
/*
 * gpu.c - does to the NVIDIA GPU of its worker what a test asks for, by the driver alone:
 *
 *   facts   says what it sees: number of devices, UUID, process
 *   fill    takes all memory, until the driver has no more
 *   crash   has a kernel write where nothing is
 *   spin    says "running" when a kernel runs that never ends, which it then waits for
 *
 * Of what a kernel does nothing is left to a compiler: it is PTX, as in docs/examples/cuda.c.
 */
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include <millrace/pipeline.h>

#define UUID_BYTES 16
#define PIECE_COUNT_MAX 64
#define NOWHERE 16u

/* ---- the driver ---------------------------------------------------------------------------- */

typedef int CUresult;
typedef unsigned long long CUdeviceptr;

enum { CUDA_SUCCESS = 0, CUDA_ERROR_OUT_OF_MEMORY = 2, CUDA_ERROR_NOT_READY = 600 };

static CUresult (*cuInit)(unsigned flags);
static CUresult (*cuGetErrorName)(CUresult, const char **);
static CUresult (*cuDeviceGetCount)(int *);
static CUresult (*cuDeviceGet)(int *, int number);
static CUresult (*cuDeviceGetUuid)(unsigned char *, int device);
static CUresult (*cuCtxCreate)(void **, unsigned flags, int device);
static CUresult (*cuModuleLoadData)(void **, const void *);
static CUresult (*cuModuleGetFunction)(void **, void *, const char *);
static CUresult (*cuMemGetInfo)(size_t *, size_t *);
static CUresult (*cuMemAlloc)(CUdeviceptr *, size_t);
static CUresult (*cuMemFree)(CUdeviceptr);
static CUresult (*cuMemsetD8)(CUdeviceptr, unsigned char, size_t);
static CUresult (*cuStreamQuery)(void *);
static CUresult (*cuLaunchKernel)(void *, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                  unsigned block_x, unsigned block_y, unsigned block_z,
                                  unsigned shared_bytes, void *stream, void **arguments, void **);
static CUresult (*cuCtxSynchronize)(void);

static bool function_load(void *library, const char *name, void *place)
{
    void *function = dlsym(library, name);
    memcpy(place, &function, sizeof function);
    return function != NULL;
}

/* NULL, or why it cannot be used. Of a slice only the second cuDeviceGetUuid tells the own UUID. */
static const char *library_load(void)
{
#define LOAD(name, version) function_load(library, #name version, &name)
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    bool is_whole =
        library && LOAD(cuInit, "") && LOAD(cuGetErrorName, "") && LOAD(cuDeviceGetCount, "") &&
        LOAD(cuDeviceGet, "") && (LOAD(cuDeviceGetUuid, "_v2") || LOAD(cuDeviceGetUuid, "")) &&
        LOAD(cuCtxCreate, "_v2") && LOAD(cuModuleLoadData, "") && LOAD(cuModuleGetFunction, "") &&
        LOAD(cuMemGetInfo, "_v2") && LOAD(cuMemAlloc, "_v2") && LOAD(cuMemFree, "_v2") &&
        LOAD(cuMemsetD8, "_v2") && LOAD(cuStreamQuery, "") && LOAD(cuLaunchKernel, "") &&
        LOAD(cuCtxSynchronize, "");
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

/* Both take an address: crash writes to it, spin reads it until something else than 0 is there. */
/* clang-format off */
static const char ptx[] =
    ".version 5.0\n"
    ".target sm_60\n"
    ".address_size 64\n"
    ".visible .entry crash(.param .u64 crash_param_0)\n"
    "{\n"
    "    .reg .b32 %r<2>;\n"
    "    .reg .b64 %rd<3>;\n"
    "    ld.param.u64 %rd1, [crash_param_0];\n"
    "    cvta.to.global.u64 %rd2, %rd1;\n"
    "    mov.u32 %r1, 1;\n"
    "    st.volatile.global.u32 [%rd2], %r1;\n"
    "    ret;\n"
    "}\n"
    ".visible .entry spin(.param .u64 spin_param_0)\n"
    "{\n"
    "    .reg .pred %p<2>;\n"
    "    .reg .b32 %r<2>;\n"
    "    .reg .b64 %rd<3>;\n"
    "    ld.param.u64 %rd1, [spin_param_0];\n"
    "    cvta.to.global.u64 %rd2, %rd1;\n"
    "LBB1_1:\n"
    "    ld.volatile.global.u32 %r1, [%rd2];\n"
    "    setp.eq.s32 %p1, %r1, 0;\n"
    "    @%p1 bra LBB1_1;\n"
    "    ret;\n"
    "}\n";
/* clang-format on */

struct device {
    int number, count;
    void *context, *module;
};

static CUresult open_device(struct device *device)
{
    CUresult error = cuInit(0);
    if (error == CUDA_SUCCESS)
        error = cuDeviceGetCount(&device->count);
    if (error == CUDA_SUCCESS)
        error = cuDeviceGet(&device->number, 0);
    if (error == CUDA_SUCCESS)
        error = cuCtxCreate(&device->context, 0, device->number);
    if (error == CUDA_SUCCESS)
        error = cuModuleLoadData(&device->module, ptx);
    return error;
}

static int start(struct mr_call *call)
{
    const char *reason = library_load();
    if (reason)
        return mr_fail(call, MR_ERROR_STARTUP, "no CUDA: %s", reason);
    CUresult error = open_device(mr_state(call));
    if (error != CUDA_SUCCESS)
        return mr_fail(call, MR_ERROR_STARTUP, "no GPU: %s (%d)", name_of(error), error);
    return 0;
}

/* ---- a run --------------------------------------------------------------------------------- */

struct deed {
    CUresult (*next)(const struct device *, struct mr_value *);
    const struct device *device;
    bool is_done;
};

static CUresult launch(const struct device *device, const char *name, CUdeviceptr address)
{
    void *kernel, *arguments[] = {&address};
    CUresult error = cuModuleGetFunction(&kernel, device->module, name);
    if (error == CUDA_SUCCESS)
        error = cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, NULL, arguments, NULL);
    return error;
}

static CUresult say_facts(const struct device *device, struct mr_value *out)
{
    unsigned char uuid[UUID_BYTES] = {0};
    char digits[2 * UUID_BYTES + 1];
    CUresult error = cuDeviceGetUuid(uuid, device->number);
    if (error != CUDA_SUCCESS)
        return error;
    for (unsigned i = 0; i < UUID_BYTES; i++) {
        digits[2 * i] = "0123456789abcdef"[uuid[i] >> 4];
        digits[2 * i + 1] = "0123456789abcdef"[uuid[i] & 15];
    }
    mr_value_dictionary(out, 3);
    mr_value_string(out, "count", 5);
    mr_value_integer(out, device->count);
    mr_value_string(out, "uuid", 4);
    mr_value_string(out, digits, sizeof digits - 1);
    mr_value_string(out, "pid", 3);
    mr_value_integer(out, getpid());
    return CUDA_SUCCESS;
}

/* A half, a half of what is left, and so on; at the end something that can never be had. */
static CUresult fill(const struct device *device, struct mr_value *out)
{
    CUdeviceptr pieces[PIECE_COUNT_MAX];
    size_t free_bytes, total_bytes;
    unsigned count = 0;
    CUresult error = cuMemGetInfo(&free_bytes, &total_bytes);
    (void)device, (void)out;
    for (size_t bytes = free_bytes / 2; error == CUDA_SUCCESS && count < PIECE_COUNT_MAX - 1;) {
        error = cuMemAlloc(&pieces[count], bytes);
        if (error != CUDA_SUCCESS)
            break;
        error = cuMemsetD8(pieces[count++], 1, bytes);
        bytes = bytes > 1024 ? bytes / 2 : total_bytes;
    }
    while (count > 0)
        cuMemFree(pieces[--count]);
    return error;
}

static CUresult crash(const struct device *device, struct mr_value *out)
{
    CUresult error = launch(device, "crash", NOWHERE);
    (void)out;
    return error == CUDA_SUCCESS ? cuCtxSynchronize() : error;
}

/* Called twice: the second time it waits. It has an eighth of the memory meanwhile. */
static CUresult spin(const struct device *device, struct mr_value *out)
{
    static CUdeviceptr piece;
    size_t free_bytes, total_bytes;
    if (piece)
        return cuCtxSynchronize();
    CUresult error = cuMemGetInfo(&free_bytes, &total_bytes);
    if (error == CUDA_SUCCESS)
        error = cuMemAlloc(&piece, free_bytes / 8);
    if (error == CUDA_SUCCESS)
        error = cuMemsetD8(piece, 0, free_bytes / 8);
    if (error == CUDA_SUCCESS)
        error = cuCtxSynchronize();
    if (error == CUDA_SUCCESS)
        error = launch(device, "spin", piece);
    if (error == CUDA_SUCCESS && cuStreamQuery(NULL) == CUDA_ERROR_NOT_READY)
        mr_value_stringf(out, "running");
    return error;
}

static int deed_next(void *state, struct mr_value *out)
{
    struct deed *deed = state;
    if (deed->is_done)
        return MR_END;
    deed->is_done = deed->next != spin;
    CUresult error = deed->next(deed->device, out);
    if (error != CUDA_SUCCESS)
        return mr_value_fail(out, kind_of(error), "%s (%d)", name_of(error), error);
    return MR_ITEM;
}

static int act(struct mr_call *call)
{
    static const struct {
        const char *name;
        CUresult (*next)(const struct device *, struct mr_value *);
    } deeds[] = {{"facts", say_facts}, {"fill", fill}, {"crash", crash}, {"spin", spin}};
    const char *name = mr_arg_string(call, 0);
    struct deed *deed = mr_alloc(call, sizeof *deed);
    if (!deed)
        return -1; /* mr_alloc() has said why */
    *deed = (struct deed){.device = mr_state(call)};
    for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++)
        if (strcmp(name, deeds[i].name) == 0)
            deed->next = deeds[i].next;
    if (!deed->next)
        return mr_fail(call, MR_ERROR_INPUT, "what: it does no %s", name);
    return mr_return_stream(call, &(struct mr_iterator){deed, deed_next, NULL});
}

MR_PIPELINE(gpu)
{
    static struct device device;
    mr_set_state(builder, &device, NULL);
    mr_on_startup(builder, start);
    mr_variable what = mr_input(builder, MR_STRING, .title = "what");
    mr_output(builder, mr_pipe(builder, act, MR_STREAM, what));
}
