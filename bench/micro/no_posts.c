/* For subjects without a queue of posts of their own. */
#include "subject.h"

uint32_t subject_post_size(void)
{
    return 0;
}

void subject_posts_open(subject *s, subject_cb cb, void *arg)
{
    (void)s;
    (void)cb;
    (void)arg;
}

void subject_post(subject *s, void *node)
{
    (void)s;
    (void)node;
}
