/* SPDX-License-Identifier: MIT */
/* init_files.c - the files of share/init, which the assembler takes in as they are. */
#include "dispatcher/cli/init_files.h"

#define INCLUDED(symbol, path)                                                                     \
    extern const char(symbol)[], symbol##_end[];                                                   \
    __asm__(".pushsection .rodata\n"                                                               \
            ".global " #symbol ", " #symbol "_end\n" #symbol ":\n"                                 \
            ".incbin \"share/init/" path "\"\n" #symbol "_end:\n"                                  \
            ".popsection\n")

#define ROW(name, symbol)                                                                          \
    {                                                                                              \
        name, symbol, symbol##_end                                                                 \
    }

INCLUDED(init_python_source, "python/my_pipeline.py");
INCLUDED(init_python_test, "python/test_my_pipeline.py");
INCLUDED(init_python_manifest, "python/pipeline.yaml");
INCLUDED(init_python_readme, "python/README.md");
INCLUDED(init_c_source, "c/my_pipeline.c");
INCLUDED(init_c_test, "c/test_my_pipeline.c");
INCLUDED(init_c_makefile, "c/Makefile");
INCLUDED(init_c_manifest, "c/pipeline.yaml");
INCLUDED(init_c_readme, "c/README.md");

const struct init_file init_files_python[] = {
    ROW("my_pipeline.py", init_python_source),
    ROW("test_my_pipeline.py", init_python_test),
    ROW("pipeline.yaml", init_python_manifest),
    ROW("README.md", init_python_readme),
    {.name = NULL},
};

const struct init_file init_files_c[] = {
    ROW("my_pipeline.c", init_c_source), ROW("test_my_pipeline.c", init_c_test),
    ROW("Makefile", init_c_makefile),    ROW("pipeline.yaml", init_c_manifest),
    ROW("README.md", init_c_readme),     {.name = NULL},
};
