/* SPDX-License-Identifier: MIT */
/*
 * millrace/pipeline.hpp - pipelines in C++ whose exceptions become failures of their runs.
 *
 * The worker is C, and nothing in it can catch: an exception that leaves a pipe, a startup hook or
 * an iterator's next() ends the process. What is here stands between, is compiled into the pipeline
 * alone, and needs C++11:
 *
 *     static int find(mr_call *call) // may throw
 *     {
 *         std::regex pattern(millrace::arg_string(call, 0));
 *         return millrace::return_stream(call, matches(pattern)); // its operator() may throw
 *     }
 *
 *     MR_PIPELINE(finder)
 *     {
 *         mr_variable pattern = mr_input(builder, MR_STRING);
 *         mr_output(builder, mr_pipe(builder, millrace::pipe<find>, MR_STREAM, pattern));
 *     }
 *
 * A millrace::failure is told as it says, std::bad_alloc as oom, what() of libraries whose device
 * failed as mr_device_error() says, all else as pipeline_error; with type and what(). The worker goes on: what was changed before the exception stays changed.
 */
#ifndef MILLRACE_PIPELINE_HPP
#define MILLRACE_PIPELINE_HPP

#include <millrace/pipeline.h>

#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <cxxabi.h>

namespace millrace
{

/* A failure of a kind that clients can be told: throw millrace::failure(MR_ERROR_INPUT, "no such
 * voice"). */
class failure : public std::runtime_error
{
  public:
    failure(mr_error kind, const std::string &what) : std::runtime_error(what), kind_(kind)
    {
    }

    mr_error kind() const noexcept
    {
        return kind_;
    }

  private:
    mr_error kind_;
};

namespace detail
{

/* "std::out_of_range" of the exception that is being handled, into `text`, as far as there is room;
 * its mangled name when there is no memory to know more. */
inline void type_name(char *text, size_t bytes) noexcept
{
    const std::type_info *type = abi::__cxa_current_exception_type();
    const char *mangled = type ? type->name() : "unknown";
    int status = 0;
    char *name = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
    const char *shown = name ? name : mangled;
    size_t at = 0;
    for (; at + 1 < bytes && shown[at] != '\0'; at++)
        text[at] = shown[at];
    text[at] = '\0';
    std::free(name);
}

/* Tells `said` of the exception that is being handled: the kind of the failure, and three texts in
 * a row. What it returns is for the worker. */
template <typename Said> int tell(Said said) noexcept
{
    char type[128];
    try {
        throw; // cppcheck-suppress rethrowNoCurrentException; it is called by handlers alone
    } catch (const failure &error) {
        return said(error.kind(), "", "", error.what());
    } catch (const std::bad_alloc &error) {
        return said(MR_ERROR_OOM, "", "", error.what());
    } catch (const std::exception &error) {
        type_name(type, sizeof type);
        return said(mr_device_error(error.what(), MR_ERROR_PIPELINE), type, ": ", error.what());
    } catch (...) {
        type_name(type, sizeof type);
        return said(MR_ERROR_PIPELINE, "an exception of type ", type, "");
    }
}

struct of_call {
    mr_call *call;

    int operator()(mr_error kind, const char *a, const char *b, const char *c) const noexcept
    {
        return mr_fail(call, kind, "%s%s%s", a, b, c);
    }
};

struct of_value {
    mr_value *value;

    int operator()(mr_error kind, const char *a, const char *b, const char *c) const noexcept
    {
        return mr_value_fail(value, kind, "%s%s%s", a, b, c);
    }
};

template <typename Next> struct stream {
    static int next(void *state, mr_value *out) noexcept
    {
        try {
            return (*static_cast<Next *>(state))(out);
        } catch (...) {
            return tell(of_value{out});
        }
    }

    static void close(void *state) noexcept
    {
        delete static_cast<Next *>(state);
    }
};

} // namespace detail

/* A pipe, or a startup hook, that may throw: mr_pipe(builder, millrace::pipe<greet>, MR_STRING,
 * name). */
template <int (*Function)(mr_call *)> int pipe(mr_call *call) noexcept
{
    try {
        return Function(call);
    } catch (...) {
        return detail::tell(detail::of_call{call});
    }
}

/* Answers with a stream: `next` is called with the mr_value * for each item, and returns what the
 * next() of an mr_iterator does. It may throw. It is a lambda or an object with a state of its own,
 * is moved into memory of the pipeline, and destroyed when the run has ended, however it does. */
template <typename Next> int return_stream(mr_call *call, Next &&next)
{
    typedef typename std::decay<Next>::type Kept;
    const mr_iterator iterator = {new Kept(std::forward<Next>(next)), detail::stream<Kept>::next,
                                  detail::stream<Kept>::close};
    return mr_return_stream(call, &iterator);
}

/* A string argument with all its bytes, NULs too; of one that is null, "". */
inline std::string arg_string(mr_call *call, size_t index)
{
    const mr_object *object = mr_arg(call, index);
    return object->type == MR_STRING ? std::string(object->u.string.bytes, object->u.string.count)
                                     : std::string();
}

inline int value_string(mr_value *value, const std::string &text)
{
    return mr_value_string(value, text.data(), text.size());
}

} // namespace millrace

#endif
