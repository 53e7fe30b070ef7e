/* Feeds one of the library's own targets (src/fuzzing): built once for each, with -DTARGET=its name. */
#include <stddef.h>
#include <stdint.h>

void TARGET(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    TARGET(data, length);
    return 0;
}
