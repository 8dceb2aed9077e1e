/*
 * Addresses: whatever the text, reading it ends, and what was read is written so that it is read
 * again as the same.
 */
#include <gyre.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void there_and_back(const gyre_address *address)
{
    char text[GYRE_ADDRESS_TEXT_MAX];
    char *colon;
    gyre_address again;

    if (gyre_address_format(address, text, sizeof(text)) < 0)
        abort();
    if (strncmp(text, "unix:", 5) == 0) {
        if (text[5] != '\0' && gyre_address_unix(&again, text + 5) != 0)
            abort();
        return;
    }
    colon = strrchr(text, ':');
    *colon = '\0';
    if (gyre_address_ip(&again, text, gyre_address_port(address)) != 0 ||
        again.len != address->len || memcmp(&again.u, &address->u, again.len) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gyre_address address;
    char *text = malloc(size + 1);

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (gyre_address_ip(&address, text, 8080) == 0)
        there_and_back(&address);
    if (gyre_address_unix(&address, text) == 0)
        there_and_back(&address);
    free(text);
    return 0;
}
