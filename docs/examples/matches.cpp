/* SPDX-License-Identifier: MIT */
/*
 * matches.cpp - C++: what of a text matches a pattern; exceptions are failures of the run.
 *
 *   c++ -shared -fPIC matches.cpp -o matches.so $(pkg-config --cflags millrace)
 *   millrace serve matches.so
 *   curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *        -d '{"inputs":[{"type":"string","value":"12 drummers and 11 pipers"},
 *                       {"type":"string","value":"[0-9]+"}]}'
 *
 * A pattern that is none, like "[", makes std::regex throw: that is the client's mistake, and is
 * said to be one. Whatever else is thrown is a pipeline_error with what(), and the worker goes on.
 */
#include <millrace/pipeline.hpp>

#include <iterator>
#include <regex>
#include <string>

namespace
{

/* One run. It is destroyed when the run has ended. */
class matches
{
  public:
    matches(std::string text, const std::string &pattern)
        : text_(std::move(text)), pattern_(pattern), at_(0)
    {
    }

    int operator()(mr_value *out)
    {
        std::smatch match;
        if (at_ > text_.size() || !std::regex_search(from(), text_.cend(), match, pattern_, how()))
            return MR_END;
        const std::string found = match.str();
        /* An empty match is one, too: the next is looked for behind it. */
        at_ += static_cast<size_t>(match.position() + match.length()) + (found.empty() ? 1 : 0);
        return millrace::value_string(out, found);
    }

  private:
    std::string::const_iterator from() const
    {
        return text_.cbegin() + static_cast<std::ptrdiff_t>(at_);
    }

    /* In the middle of a text ^ matches nothing. */
    std::regex_constants::match_flag_type how() const
    {
        return at_ > 0 ? std::regex_constants::match_prev_avail
                       : std::regex_constants::match_default;
    }

    std::string text_;
    std::regex pattern_;
    size_t at_;
};

int find(mr_call *call)
{
    try {
        return millrace::return_stream(
            call, matches(millrace::arg_string(call, 0), millrace::arg_string(call, 1)));
    } catch (const std::regex_error &error) {
        throw millrace::failure(MR_ERROR_INPUT,
                                std::string("the pattern is none: ") + error.what());
    }
}

} // namespace

MR_PIPELINE(finder)
{
    mr_input_options options = mr_input_options();
    options.title = "text";
    mr_variable text = mr_input(builder, MR_STRING, options);
    options.title = "pattern";
    options.description = "a regular expression of ECMAScript";
    mr_variable pattern = mr_input(builder, MR_STRING, options);
    mr_output(builder, mr_pipe(builder, millrace::pipe<find>, MR_STREAM, text, pattern));
}
