/* SPDX-License-Identifier: MIT */
/*
 * manifest.h - Mystic's pipeline.yaml: which pipeline a folder has, and what that needs.
 *
 *     pipeline_graph: new_pipeline:my_new_pipeline
 *     pipeline_name: me/words
 *     runtime: {python: {version: "3.10", requirements: [numpy>=1.24]}}
 *
 * A pipeline in C is words.so:name there, of a file in the folder.
 *
 * It is written for others: keys that are not known are warned about. docs/python-authoring.md has
 * those that are.
 */
#ifndef DISPATCHER_MANIFEST_H
#define DISPATCHER_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "dispatcher/config/problems.h"
#include "millrace/check.h"

#define MANIFEST_NEEDS_BYTES_MAX (16u * 1024)
#define MANIFEST_MEMBER_BYTES_MAX (32u * 1024)

/* All of it is owned. Where there are errors, the rest is what could be read. */
struct manifest {
    char *path;        /* of the file, or of the folder that has none; without ./ */
    char *folder;      /* of the file */
    char *module;      /* package.module, or words.so, looked for in the folder */
    char *module_path; /* where it was found; NULL: nowhere */
    bool is_native;    /* the module is a shared object with pipelines, and no Python */
    char *graph;       /* the pipeline's name in the module */
    char *name;        /* pipeline_name: me/words, words; NULL: it is not said */
    char *needs;       /* of the interpreter: its version, which may be empty, then a requirement a
                        * line; NULL: nothing */
    char *members;     /* of a JSON object, without its braces: what people are told */
    char *readme;      /* as it is written; NULL: it is not said */
    struct document_place name_place;
    struct problems errors, warnings;
};

/* Whether a path says that it is one: by its ending. */
bool manifest_is_path(const char *path);

/* Whether a folder is there. */
bool manifest_is_folder(const char *path);

/* Reads a file, or that of a folder. 0, and *out, with what is wrong with it in its errors, is the
 * caller's; -ENOMEM. */
int manifest_open(const char *path, struct manifest **out) MUST_USE;

/* The same with the text of a file, whatever its path. */
int manifest_take(const char *path, const char *text, size_t bytes, struct manifest **out) MUST_USE;

void manifest_free(struct manifest *manifest);

/* pipeline_name as a pointer, which the caller frees; NULL: it is not said, or makes none, which is
 * warned about. */
char *manifest_pointer(struct manifest *manifest);

/* The first of what is wrong, as one line; NULL: nothing is. */
const char *manifest_error(const struct manifest *manifest);

/* Prints warnings and errors that have a place in the file, a line each. Whether there were such
 * errors; one without a place is told by manifest_error() alone. */
bool manifest_print(struct manifest *manifest, FILE *file);

#endif
