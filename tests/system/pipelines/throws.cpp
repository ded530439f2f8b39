// SPDX-License-Identifier: MIT
//
// throws.cpp - C++ whose exceptions leave it, since nothing catches them.
#include <millrace/pipeline.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace
{

const char *volatile nowhere = reinterpret_cast<const char *>(8);

int throws(mr_call *call)
{
    switch (mr_arg_integer(call, 0)) {
    case 1:
        throw std::runtime_error("thirteen\x1b[2J \"and\" more");
    case 2:
        throw 7;
    case 3:
        throw std::runtime_error(std::string(4000, 'x'));
    case 5:
        fputs("terminate called after throwing an instance of 'long'\n", stderr);
        fputs("but no: something else\n", stderr);
        abort();
    case 6:
        return static_cast<int>(strtol(nowhere, nullptr, 10));
    default:
        return mr_value_integer(mr_return(call), 1);
    }
}

} // namespace

MR_PIPELINE(throws)
{
    mr_output(builder, mr_pipe(builder, throws, MR_INTEGER, mr_input(builder, MR_INTEGER)));
}
