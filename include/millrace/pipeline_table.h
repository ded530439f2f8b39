/* SPDX-License-Identifier: MIT */
/*
 * millrace/pipeline_table.h - what a shared object and its worker agree on; pipeline.h includes it
 * in its middle. Authors call the functions there.
 */
#ifndef MILLRACE_PIPELINE_H
#include <millrace/pipeline.h>
#endif
#ifndef MILLRACE_PIPELINE_TABLE_H
#define MILLRACE_PIPELINE_TABLE_H

/* What a worker was given that is its own: a GPU, a slice of one, or cores. */
struct mr_device_info {
    const char *kind; /* cuda, hip, level-zero, vulkan, opencl, cpu */
    int index;        /* as `millrace devices` shows it; libraries count those that they see */
    const char *uuid; /* NULL where it has none */
};

/* Grows at its end, and nowhere else. */
struct mr_api {
    uint32_t version; /* MR_API_VERSION of the worker */
    uint32_t bytes;   /* sizeof(struct mr_api) of the worker */

    mr_variable (*builder_input)(struct mr_builder *, const struct mr_input_options *);
    mr_variable (*builder_pipe)(struct mr_builder *, mr_pipe_fn *, const char *name,
                                const int *type_and_inputs, size_t count);
    void (*builder_output)(struct mr_builder *, mr_variable);
    void (*builder_on_startup)(struct mr_builder *, mr_pipe_fn *);
    void (*builder_state)(struct mr_builder *, void *state, void (*destroy)(void *state));

    size_t (*arg_count)(struct mr_call *);
    const struct mr_object *(*arg)(struct mr_call *, size_t index);
    void *(*call_state)(struct mr_call *);
    struct mr_value *(*call_return)(struct mr_call *);
    int (*return_stream)(struct mr_call *, const struct mr_iterator *);
    int (*call_vfail)(struct mr_call *, enum mr_error, const char *format, va_list);

    int (*value_none)(struct mr_value *);
    int (*value_boolean)(struct mr_value *, bool);
    int (*value_integer)(struct mr_value *, int64_t);
    int (*value_natural)(struct mr_value *, uint64_t);
    int (*value_fp)(struct mr_value *, double);
    int (*value_string)(struct mr_value *, const char *bytes, size_t count);
    int (*value_vstringf)(struct mr_value *, const char *format, va_list);
    int (*value_bytes)(struct mr_value *, const void *bytes, size_t count);
    int (*value_array)(struct mr_value *, size_t count);
    int (*value_dictionary)(struct mr_value *, size_t count);
    int (*value_object)(struct mr_value *, const struct mr_object *);
    int (*value_later_ms)(struct mr_value *, uint64_t ms);
    int (*value_later_at_ns)(struct mr_value *, uint64_t monotonic_ns);
    int (*value_vfail)(struct mr_value *, enum mr_error, const char *format, va_list);

    bool (*cancelled)(void);
    const char *(*run_id)(void);
    void (*vlog)(enum mr_log_level, const char *format, va_list);

    void *(*call_alloc)(struct mr_call *, size_t bytes);

    struct mr_waker *(*waker_get)(struct mr_call *);
    struct mr_waker *(*waker_hold)(struct mr_waker *);
    void (*waker_release)(struct mr_waker *);
    void (*waker_wake)(struct mr_waker *);
    int (*value_later)(struct mr_value *);
    int (*value_later_poll)(struct mr_value *, int fd, short events, uint64_t ms);

    void (*builder_input_schema)(struct mr_builder *, mr_variable, const char *json);
    void (*builder_input_files)(struct mr_builder *, mr_variable, const char *json);

    int (*value_file)(struct mr_value *, const char *path, const char *name);
    int (*value_file_fd)(struct mr_value *, int fd, const char *name);

    const struct mr_device_info *(*device)(void);
    void (*startup_progress)(double fraction, const char *text);

    void (*builder_on_preload)(struct mr_builder *, mr_pipe_fn *);

    void (*builder_engine)(struct mr_builder *, const struct mr_engine *, size_t engine_bytes,
                           const int *type_and_inputs, size_t count);
    size_t (*run_arg_count)(struct mr_run *);
    const struct mr_object *(*run_arg)(struct mr_run *, size_t index);
    void *(*run_alloc)(struct mr_run *, size_t bytes);
    void (*run_set)(struct mr_run *, void *state);
    void *(*run_get)(struct mr_run *);
    struct mr_value *(*run_emit)(struct mr_run *);
    bool (*run_is_full)(struct mr_run *);
    bool (*run_is_cancelled)(struct mr_run *);
    void (*run_finish)(struct mr_run *);
    int (*run_vfail)(struct mr_run *, enum mr_error, const char *format, va_list);
    int (*engine_vfail)(enum mr_error, const char *format, va_list);
    struct mr_waker *(*engine_waker)(void);
    uint64_t (*step_budget)(void);

    mr_variable (*builder_pipe_batched)(struct mr_builder *, mr_batch_fn *, const char *name,
                                        const int *type_and_inputs, size_t count);
    int (*batch_vfail)(enum mr_error, const char *format, va_list);
};

/* What a shared object exports: a list of its pipelines, behind one symbol. */
struct mr_export {
    uint32_t version;   /* MR_API_VERSION it was compiled with */
    uint32_t api_bytes; /* sizeof(struct mr_api) it was compiled with */
    const char *name;
    void (*define)(struct mr_builder *);
    const struct mr_api **api; /* where the worker puts its table */
    const struct mr_export *next;
};

#define MR_HIDDEN_ __attribute__((weak, visibility("hidden")))
/* One of each for the whole shared object, however many sources include this header. */
MR_HIDDEN_ const struct mr_api *mr_api_ = NULL;
MR_HIDDEN_ struct mr_export *mr_exports_ = NULL;

__attribute__((weak, visibility("default"))) const struct mr_export *mr_pipeline_exports(void);
const struct mr_export *mr_pipeline_exports(void)
{
    return mr_exports_;
}

#ifndef __cplusplus
/* How mr_pipe() makes one list of a type and variables:
 * MR_WORDS_(2, TYPE, a, b, ) is mr_type_(TYPE), mr_index_(a), mr_index_(b), */
/* clang-format off */
#define MR_WORDS_(count, ...) MR_WORDS_OF_(count, __VA_ARGS__)
#define MR_WORDS_OF_(count, type, ...) mr_type_(type), MR_I##count##_(__VA_ARGS__)
#define MR_COUNT_(...) \
    MR_COUNT_OF_(__VA_ARGS__, 64, 63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, \
                 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, \
                 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, \
                 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0)
#define MR_COUNT_OF_(type, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, _18, _19, \
                     _20, _21, _22, _23, _24, _25, _26, _27, _28, _29, _30, _31, _32, _33, _34, \
                     _35, _36, _37, _38, _39, _40, _41, _42, _43, _44, _45, _46, _47, _48, _49, \
                     _50, _51, _52, _53, _54, _55, _56, _57, _58, _59, _60, _61, _62, _63, _64, \
                     count, ...) count
#define MR_I0_(...)
#define MR_I1_(x, ...) mr_index_(x), MR_I0_(__VA_ARGS__)
#define MR_I2_(x, ...) mr_index_(x), MR_I1_(__VA_ARGS__)
#define MR_I3_(x, ...) mr_index_(x), MR_I2_(__VA_ARGS__)
#define MR_I4_(x, ...) mr_index_(x), MR_I3_(__VA_ARGS__)
#define MR_I5_(x, ...) mr_index_(x), MR_I4_(__VA_ARGS__)
#define MR_I6_(x, ...) mr_index_(x), MR_I5_(__VA_ARGS__)
#define MR_I7_(x, ...) mr_index_(x), MR_I6_(__VA_ARGS__)
#define MR_I8_(x, ...) mr_index_(x), MR_I7_(__VA_ARGS__)
#define MR_I9_(x, ...) mr_index_(x), MR_I8_(__VA_ARGS__)
#define MR_I10_(x, ...) mr_index_(x), MR_I9_(__VA_ARGS__)
#define MR_I11_(x, ...) mr_index_(x), MR_I10_(__VA_ARGS__)
#define MR_I12_(x, ...) mr_index_(x), MR_I11_(__VA_ARGS__)
#define MR_I13_(x, ...) mr_index_(x), MR_I12_(__VA_ARGS__)
#define MR_I14_(x, ...) mr_index_(x), MR_I13_(__VA_ARGS__)
#define MR_I15_(x, ...) mr_index_(x), MR_I14_(__VA_ARGS__)
#define MR_I16_(x, ...) mr_index_(x), MR_I15_(__VA_ARGS__)
#define MR_I17_(x, ...) mr_index_(x), MR_I16_(__VA_ARGS__)
#define MR_I18_(x, ...) mr_index_(x), MR_I17_(__VA_ARGS__)
#define MR_I19_(x, ...) mr_index_(x), MR_I18_(__VA_ARGS__)
#define MR_I20_(x, ...) mr_index_(x), MR_I19_(__VA_ARGS__)
#define MR_I21_(x, ...) mr_index_(x), MR_I20_(__VA_ARGS__)
#define MR_I22_(x, ...) mr_index_(x), MR_I21_(__VA_ARGS__)
#define MR_I23_(x, ...) mr_index_(x), MR_I22_(__VA_ARGS__)
#define MR_I24_(x, ...) mr_index_(x), MR_I23_(__VA_ARGS__)
#define MR_I25_(x, ...) mr_index_(x), MR_I24_(__VA_ARGS__)
#define MR_I26_(x, ...) mr_index_(x), MR_I25_(__VA_ARGS__)
#define MR_I27_(x, ...) mr_index_(x), MR_I26_(__VA_ARGS__)
#define MR_I28_(x, ...) mr_index_(x), MR_I27_(__VA_ARGS__)
#define MR_I29_(x, ...) mr_index_(x), MR_I28_(__VA_ARGS__)
#define MR_I30_(x, ...) mr_index_(x), MR_I29_(__VA_ARGS__)
#define MR_I31_(x, ...) mr_index_(x), MR_I30_(__VA_ARGS__)
#define MR_I32_(x, ...) mr_index_(x), MR_I31_(__VA_ARGS__)
#define MR_I33_(x, ...) mr_index_(x), MR_I32_(__VA_ARGS__)
#define MR_I34_(x, ...) mr_index_(x), MR_I33_(__VA_ARGS__)
#define MR_I35_(x, ...) mr_index_(x), MR_I34_(__VA_ARGS__)
#define MR_I36_(x, ...) mr_index_(x), MR_I35_(__VA_ARGS__)
#define MR_I37_(x, ...) mr_index_(x), MR_I36_(__VA_ARGS__)
#define MR_I38_(x, ...) mr_index_(x), MR_I37_(__VA_ARGS__)
#define MR_I39_(x, ...) mr_index_(x), MR_I38_(__VA_ARGS__)
#define MR_I40_(x, ...) mr_index_(x), MR_I39_(__VA_ARGS__)
#define MR_I41_(x, ...) mr_index_(x), MR_I40_(__VA_ARGS__)
#define MR_I42_(x, ...) mr_index_(x), MR_I41_(__VA_ARGS__)
#define MR_I43_(x, ...) mr_index_(x), MR_I42_(__VA_ARGS__)
#define MR_I44_(x, ...) mr_index_(x), MR_I43_(__VA_ARGS__)
#define MR_I45_(x, ...) mr_index_(x), MR_I44_(__VA_ARGS__)
#define MR_I46_(x, ...) mr_index_(x), MR_I45_(__VA_ARGS__)
#define MR_I47_(x, ...) mr_index_(x), MR_I46_(__VA_ARGS__)
#define MR_I48_(x, ...) mr_index_(x), MR_I47_(__VA_ARGS__)
#define MR_I49_(x, ...) mr_index_(x), MR_I48_(__VA_ARGS__)
#define MR_I50_(x, ...) mr_index_(x), MR_I49_(__VA_ARGS__)
#define MR_I51_(x, ...) mr_index_(x), MR_I50_(__VA_ARGS__)
#define MR_I52_(x, ...) mr_index_(x), MR_I51_(__VA_ARGS__)
#define MR_I53_(x, ...) mr_index_(x), MR_I52_(__VA_ARGS__)
#define MR_I54_(x, ...) mr_index_(x), MR_I53_(__VA_ARGS__)
#define MR_I55_(x, ...) mr_index_(x), MR_I54_(__VA_ARGS__)
#define MR_I56_(x, ...) mr_index_(x), MR_I55_(__VA_ARGS__)
#define MR_I57_(x, ...) mr_index_(x), MR_I56_(__VA_ARGS__)
#define MR_I58_(x, ...) mr_index_(x), MR_I57_(__VA_ARGS__)
#define MR_I59_(x, ...) mr_index_(x), MR_I58_(__VA_ARGS__)
#define MR_I60_(x, ...) mr_index_(x), MR_I59_(__VA_ARGS__)
#define MR_I61_(x, ...) mr_index_(x), MR_I60_(__VA_ARGS__)
#define MR_I62_(x, ...) mr_index_(x), MR_I61_(__VA_ARGS__)
#define MR_I63_(x, ...) mr_index_(x), MR_I62_(__VA_ARGS__)
#define MR_I64_(x, ...) mr_index_(x), MR_I63_(__VA_ARGS__)
/* clang-format on */
#endif

#endif
