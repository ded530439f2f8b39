/* SPDX-License-Identifier: MIT */
/* files.c - pipelines that say what they find in files of their inputs. */
#include <millrace/pipeline.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "NAME: its first bytes" */
static int say(struct mr_value *out, const struct mr_object *file)
{
    char text[41] = "";
    int fd = open(file->u.file.path, O_RDONLY);
    if (fd == -1)
        return mr_value_fail(out, MR_ERROR_PIPELINE, "%s: %m", file->u.file.path);
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    return mr_value_stringf(out, "%s: %.*s", file->u.file.name, count > 0 ? (int)count : 0, text);
}

static int first(struct mr_call *call)
{
    if (!mr_arg_file(call, 0))
        return mr_value_string(mr_return(call), "none", 4);
    return say(mr_return(call), mr_arg(call, 0));
}

static int member(struct mr_call *call)
{
    const struct mr_object *image = mr_object_get(mr_arg(call, 0), "image");
    if (!image || image->type != MR_FILE)
        return mr_value_stringf(mr_return(call), "%s", image ? "another type" : "none");
    return say(mr_return(call), image);
}

MR_PIPELINE(files)
{
    mr_variable file = mr_input(builder, MR_FILE, .title = "file", .optional = true);
    mr_variable options = mr_input(builder, MR_DICTIONARY, .optional = true);
    mr_input_files(builder, options, "[\"image\"]");
    mr_output(builder, mr_pipe(builder, first, MR_STRING, file));
    mr_output(builder, mr_pipe(builder, member, MR_STRING, options));
}
