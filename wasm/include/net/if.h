/* There are no interfaces. */
#ifndef GYRE_WASM_NET_IF_H
#define GYRE_WASM_NET_IF_H

#define IF_NAMESIZE 16

static inline unsigned if_nametoindex(const char *name)
{
    (void)name;
    return 0;
}

static inline char *if_indextoname(unsigned index, char *name)
{
    (void)index;
    (void)name;
    return 0;
}

#endif
