/* SPDX-License-Identifier: MIT */
/* manifest_module.h - where in a folder the module of a pipeline is. */
#ifndef DISPATCHER_MANIFEST_MODULE_H
#define DISPATCHER_MANIFEST_MODULE_H

#include "millrace/check.h"

/* The file that is loaded for package.module in the folder: one of Python, compiled or not, or of a
 * package its first. 0, and *path is the caller's; -ENOENT; -ENOMEM. */
int manifest_module_find(const char *folder, const char *module, char **path) MUST_USE;

/* Likewise, of a shared object by its name. */
int manifest_object_find(const char *folder, const char *name, char **path) MUST_USE;

#endif
