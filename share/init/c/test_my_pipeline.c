/* Tests what needs no server. */
#include "my_pipeline.c"

#include <assert.h>
#include <stdio.h>

int main(void)
{
    char text[] = "hello  there\n";
    char *rest = text;
    assert(strcmp(word_take(&rest), "hello") == 0);
    assert(strcmp(word_take(&rest), "there") == 0);
    assert(!word_take(&rest));
    puts("all tests passed");
    return 0;
}
