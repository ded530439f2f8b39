/* SPDX-License-Identifier: MIT */
/* tesseract_gate.c - loaded before tesseract it recognises a line for each byte of a FIFO. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *TessBaseAPIGetUTF8Text(void *api);

char *TessBaseAPIGetUTF8Text(void *api)
{
    static int fd = -1;
    char byte;
    char *(*real)(void *);
    void *library = dlopen("libtesseract.so.5", RTLD_LAZY | RTLD_NOLOAD);
    void *found = dlsym(library, "TessBaseAPIGetUTF8Text");
    memcpy(&real, &found, sizeof real);
    if (fd == -1)
        fd = open(getenv("OCR_GATE"), O_RDONLY | O_CLOEXEC);
    return read(fd, &byte, 1) == 1 ? real(api) : NULL;
}
