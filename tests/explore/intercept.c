/* SPDX-License-Identifier: MIT */
/*
 * intercept.c - the functions that gcc and clang call for each access in code compiled with
 * -fsanitize=thread, and two of libc's, by the linker's --wrap.
 *
 * Their names and arguments are those of ThreadSanitizer's run-time library, which is not linked.
 * Only what shm/ and its tests need is here: what is missing does not link.
 */
#include "tests/explore/intercept.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "millrace/check.h"

/* ---- functions that only have to be there --------------------------------------------------- */

void __tsan_init(void);
void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void);
void __tsan_func_exit(void)
{
}

/* Holds the compiler only, which has been held. */
void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

/* ---- plain accesses -------------------------------------------------------------------------- */

#define PLAIN(name, bytes, is_write)                                                               \
    void name(void *address);                                                                      \
    void name(void *address)                                                                       \
    {                                                                                              \
        explorer_plain(address, bytes, is_write);                                                  \
    }

PLAIN(__tsan_read1, 1, false)
PLAIN(__tsan_read2, 2, false)
PLAIN(__tsan_read4, 4, false)
PLAIN(__tsan_read8, 8, false)
PLAIN(__tsan_read16, 16, false)
PLAIN(__tsan_write1, 1, true)
PLAIN(__tsan_write2, 2, true)
PLAIN(__tsan_write4, 4, true)
PLAIN(__tsan_write8, 8, true)
PLAIN(__tsan_write16, 16, true)
PLAIN(__tsan_unaligned_read2, 2, false)
PLAIN(__tsan_unaligned_read4, 4, false)
PLAIN(__tsan_unaligned_read8, 8, false)
PLAIN(__tsan_unaligned_read16, 16, false)
PLAIN(__tsan_unaligned_write2, 2, true)
PLAIN(__tsan_unaligned_write4, 4, true)
PLAIN(__tsan_unaligned_write8, 8, true)
PLAIN(__tsan_unaligned_write16, 16, true)

void __tsan_read_range(void *address, size_t bytes);
void __tsan_read_range(void *address, size_t bytes)
{
    explorer_plain(address, bytes, false);
}

void __tsan_write_range(void *address, size_t bytes);
void __tsan_write_range(void *address, size_t bytes)
{
    explorer_plain(address, bytes, true);
}

void *__real_memcpy(void *target, const void *source, size_t bytes);
void *__wrap_memcpy(void *target, const void *source, size_t bytes);
void *__wrap_memcpy(void *target, const void *source, size_t bytes)
{
    explorer_plain(source, bytes, false);
    explorer_plain(target, bytes, true);
    return __real_memcpy(target, source, bytes);
}

/* ---- atomic ones ----------------------------------------------------------------------------- */

#define ATOMIC(bits)                                                                               \
    uint##bits##_t __tsan_atomic##bits##_load(_Atomic uint##bits##_t *address, int order);         \
    uint##bits##_t __tsan_atomic##bits##_load(_Atomic uint##bits##_t *address, int order)          \
    {                                                                                              \
        if (!explorer_is_exploring())                                                              \
            return atomic_load(address);                                                           \
        return (uint##bits##_t)explorer_load(address, bits / 8, order);                            \
    }                                                                                              \
    void __tsan_atomic##bits##_store(_Atomic uint##bits##_t *address, uint##bits##_t value,        \
                                     int order);                                                   \
    void __tsan_atomic##bits##_store(_Atomic uint##bits##_t *address, uint##bits##_t value,        \
                                     int order)                                                    \
    {                                                                                              \
        if (!explorer_is_exploring())                                                              \
            atomic_store(address, value);                                                          \
        else                                                                                       \
            explorer_store(address, bits / 8, order, value);                                       \
    }                                                                                              \
    uint##bits##_t __tsan_atomic##bits##_fetch_add(_Atomic uint##bits##_t *address,                \
                                                   uint##bits##_t operand, int order);             \
    uint##bits##_t __tsan_atomic##bits##_fetch_add(_Atomic uint##bits##_t *address,                \
                                                   uint##bits##_t operand, int order)              \
    {                                                                                              \
        if (!explorer_is_exploring())                                                              \
            return atomic_fetch_add(address, operand);                                             \
        return (uint##bits##_t)explorer_add(address, bits / 8, order, operand);                    \
    }                                                                                              \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                     \
        _Atomic uint##bits##_t *address, uint##bits##_t expected, uint##bits##_t desired,          \
        int order, int order_failed);                                                              \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                     \
        _Atomic uint##bits##_t *address, uint##bits##_t expected, uint##bits##_t desired,          \
        int order, int order_failed)                                                               \
    {                                                                                              \
        if (explorer_is_exploring())                                                               \
            return (uint##bits##_t)explorer_compare_exchange(address, bits / 8, order,             \
                                                             order_failed, expected, desired);     \
        atomic_compare_exchange_strong(address, &expected, desired);                               \
        return expected;                                                                           \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(                                             \
        _Atomic uint##bits##_t *address, uint##bits##_t *expected, uint##bits##_t desired,         \
        int order, int order_failed);                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(                                             \
        _Atomic uint##bits##_t *address, uint##bits##_t *expected, uint##bits##_t desired,         \
        int order, int order_failed)                                                               \
    {                                                                                              \
        uint##bits##_t seen = __tsan_atomic##bits##_compare_exchange_val(                          \
            address, *expected, desired, order, order_failed);                                     \
        bool is_done = seen == *expected;                                                          \
        *expected = seen;                                                                          \
        return is_done;                                                                            \
    }

ATOMIC(32)
ATOMIC(64)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
    if (explorer_is_exploring())
        explorer_fence(order);
}

/* ---- bells ----------------------------------------------------------------------------------- */

ssize_t __real_write(int fd, const void *bytes, size_t count);
ssize_t __wrap_write(int fd, const void *bytes, size_t count);
ssize_t __wrap_write(int fd, const void *bytes, size_t count)
{
    return explorer_bell_write(fd) ? (ssize_t)count : __real_write(fd, bytes, count);
}
