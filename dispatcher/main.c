/* SPDX-License-Identifier: MIT */
/*
 * main.c - where millrace begins.
 */
#include "dispatcher/cli/commands.h"

int main(int argc, char **argv)
{
    return commands_run(argc, argv);
}
