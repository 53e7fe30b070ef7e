#include <s3dlio.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    s3dlio_error *error = NULL;
    s3dlio_store *store = NULL;
    s3dlio_buffer *data = NULL;
    int same;
    if (s3dlio_store_open("memory://consumer", NULL, &store, &error) != S3DLIO_OK ||
        s3dlio_store_put(store, "key", "hello", 5, NULL, 0, NULL, 0, &error) != S3DLIO_OK ||
        s3dlio_store_get(store, "key", &data, &error) != S3DLIO_OK) {
        fprintf(stderr, "%s\n", s3dlio_error_message(error));
        return 1;
    }
    same = s3dlio_buffer_size(data) == 5 && memcmp(s3dlio_buffer_data(data), "hello", 5) == 0;
    s3dlio_buffer_free(data);
    s3dlio_store_free(store);
    printf("%s\n", s3dlio_version());
    return same ? 0 : 1;
}
