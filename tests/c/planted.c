/* A mistake on purpose: the library reads options that were freed. Under AddressSanitizer this program
 * must die; run.sh demands it. */
#include "test.h"

int main(void) {
    s3dlio_store *store = NULL;
    size_t size = sizeof(s3dlio_put_options) + 8;
    s3dlio_put_options *options = calloc(1, size);
    s3dlio_store_open("memory://planted", NULL, &store, NULL);
    free(options);
    s3dlio_store_put(store, "key", "x", 1, options, size, NULL, 0, NULL);
    return 0;
}
