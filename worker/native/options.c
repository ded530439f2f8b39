/* SPDX-License-Identifier: MIT */
/*
 * options.c - reads the command line.
 */
#include "worker/native/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>

static const struct option known[] = {
    {"source", required_argument, NULL, 's'},
    {"name", required_argument, NULL, 'n'},
    {"pointer", required_argument, NULL, 'p'},
    {"index", required_argument, NULL, 'i'},
    {"parent", required_argument, NULL, 'P'},
    {"confine", required_argument, NULL, 'C'},
    {"cgroup", required_argument, NULL, 'g'},
    {"own-user", required_argument, NULL, 'u'},
    {"strict", no_argument, NULL, 'S'},
    {"check", no_argument, NULL, 'c'},
    {NULL, 0, NULL, 0},
};

static bool options_number(const char *text, long max, long *out);

int options_parse(struct options *out, int argc, char **argv)
{
    struct options options = {.pointer = ""};
    long number = 0;
    bool is_sound = true;
    int option;
    while (is_sound && (option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options.source = optarg;
            break;
        case 'n':
            options.name = optarg;
            break;
        case 'p':
            options.pointer = optarg;
            break;
        case 'i':
            is_sound = options_number(optarg, INT_MAX, &number);
            options.index = (uint32_t)number;
            break;
        case 'P':
            is_sound = options_number(optarg, INT_MAX, &number);
            options.parent = (pid_t)number;
            break;
        case 'C':
            options.confine = optarg;
            break;
        case 'g':
            options.cgroup = optarg;
            break;
        case 'u':
            is_sound = options_number(optarg, UINT32_MAX - 1, &number) && number > 0;
            options.own_user = (uid_t)number;
            break;
        case 'S':
            options.is_strict = true;
            break;
        case 'c':
            options.is_check = true;
            break;
        default:
            is_sound = false;
            break;
        }
    }
    if (optind < argc)
        options.program = argv + optind;
    if (!is_sound || (options.program == NULL) == (options.source == NULL) || options.parent == 0) {
        fprintf(stderr,
                "millrace-worker is started by millrace serve; its options are --parent "
                "PID [--confine LINES] [--cgroup FOLDER] [--own-user UID] and --source PATH "
                "[--name NAME] "
                "[--pointer POINTER] [--index N] [--strict] [--check], or -- PROGRAM [WORD...]\n");
        return -EINVAL;
    }
    *out = options;
    return 0;
}

/* A whole number up to `max`. */
static bool options_number(const char *text, long max, long *out)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < 0 || number > max)
        return false;
    *out = number;
    return true;
}
