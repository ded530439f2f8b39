/* SPDX-License-Identifier: MIT */
/* catches.cpp - C++ whose exceptions are failures of its runs, by what pipeline.hpp has. */
#include <millrace/pipeline.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace
{

struct odd {
};

void fail(const std::string &how)
{
    if (how == "runtime_error")
        throw std::runtime_error("thirteen \xc3\xa9 100%s");
    if (how == "vulkan")
        throw std::runtime_error("vk::Device::allocateMemory: ErrorOutOfHostMemory");
    if (how == "out_of_range")
        static_cast<void>(std::vector<int>().at(5));
    if (how == "failure")
        throw millrace::failure(MR_ERROR_INPUT, "no such voice: 100%s");
    if (how == "bad_alloc")
        throw std::bad_alloc();
    if (how == "int")
        throw 7;
    if (how == "odd")
        throw odd();
    if (how == "long")
        throw std::runtime_error(std::string(10000, 'x'));
}

/* A stream that says when it goes, and may be moved and not copied. */
class items
{
  public:
    explicit items(const std::string &how) : how_(new std::string(how)), count_(0)
    {
    }

    items(items &&) = default;

    ~items()
    {
        if (how_)
            std::printf("closed after %d\n", count_);
    }

    int operator()(mr_value *out)
    {
        if (count_ == 2)
            fail(*how_);
        if (count_ == 3)
            return MR_END;
        return mr_value_integer(out, ++count_);
    }

  private:
    std::unique_ptr<std::string> how_;
    int count_;
};

int in_next(mr_call *call)
{
    return millrace::return_stream(call, items(millrace::arg_string(call, 0)));
}

int in_pipe(mr_call *call)
{
    const std::string how = millrace::arg_string(call, 0);
    fail(how);
    return millrace::value_string(mr_return(call), how + std::string("\0!", 2));
}

int in_hook(mr_call *)
{
    throw std::logic_error("no weights");
}

int from_a_lambda(mr_call *call)
{
    int count = 0;
    return millrace::return_stream(call, [count](mr_value *out) mutable {
        return count == 2 ? static_cast<int>(MR_END) : mr_value_integer(out, ++count);
    });
}

} // namespace

MR_PIPELINE(next)
{
    mr_output(builder,
              mr_pipe(builder, millrace::pipe<in_next>, MR_STREAM, mr_input(builder, MR_STRING)));
}

MR_PIPELINE(pipe)
{
    mr_output(builder,
              mr_pipe(builder, millrace::pipe<in_pipe>, MR_STRING, mr_input(builder, MR_STRING)));
}

MR_PIPELINE(hook)
{
    mr_on_startup(builder, millrace::pipe<in_hook>);
    mr_output(builder, mr_input(builder, MR_STRING));
}

MR_PIPELINE(lambda)
{
    mr_output(builder, mr_pipe(builder, millrace::pipe<from_a_lambda>, MR_STREAM));
}
