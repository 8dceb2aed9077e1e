/*
 * Services: what layers above core keep for each loop (the thread pool's results, slices, ...), as
 * a short list that the loop walks when it flushes, shuts down, was forked and ends.
 *
 * Core must not know what any of them is for.
 */
#include "core/loop.h"

static gyrei_service *service_of(gyre_link *link)
{
    return GYRE_CONTAINER_OF(link, gyrei_service, link);
}

void gyrei_service_add(gyre_loop *loop, gyrei_service *service)
{
    GYRE_ASSERT(gyrei_service_find(loop, service->key) == NULL);
    gyrei_list_append(&loop->services, &service->link);
}

gyrei_service *gyrei_service_find(const gyre_loop *loop, const void *key)
{
    for (gyre_link *link = loop->services.next; link != &loop->services; link = link->next) {
        if (service_of(link)->key == key)
            return service_of(link);
    }
    return NULL;
}

void gyrei_services_flush(gyre_loop *loop)
{
    loop->services_dirty = false;
    for (gyre_link *link = loop->services.next; link != &loop->services; link = link->next) {
        if (service_of(link)->flush != NULL)
            service_of(link)->flush(loop, service_of(link));
    }
}

bool gyrei_services_out(const gyre_loop *loop)
{
    for (gyre_link *link = loop->services.next; link != &loop->services; link = link->next) {
        if (service_of(link)->is_out != NULL && service_of(link)->is_out(service_of(link)))
            return true;
    }
    return false;
}

void gyrei_services_cancel(gyre_loop *loop)
{
    for (gyre_link *link = loop->services.next; link != &loop->services; link = link->next) {
        if (service_of(link)->cancel != NULL)
            service_of(link)->cancel(loop, service_of(link));
    }
}

void gyrei_services_forked(gyre_loop *loop)
{
    for (gyre_link *link = loop->services.next; link != &loop->services; link = link->next) {
        if (service_of(link)->forked != NULL)
            service_of(link)->forked(loop, service_of(link));
    }
}

void gyrei_services_close(gyre_loop *loop)
{
    gyre_link *link;

    while ((link = gyrei_list_pop(&loop->services)) != NULL) {
        if (service_of(link)->close != NULL)
            service_of(link)->close(loop, service_of(link));
    }
}
