/*
 * Blocks of copied bytes, each with the write request that sends them. Those of the usual size are
 * kept by the loop and used again.
 */
#include "net/stream.h"

enum {
    BLOCK_BYTES = 4096,  /* a block of the usual size, all of it */
    BLOCKS_FREE_MAX = 64 /* that a loop keeps */
};

static const size_t usual_room = BLOCK_BYTES - sizeof(gyrei_write_block);

gyrei_write_block *gyrei_block_take(gyre_loop *loop, size_t len)
{
    gyrei_streams *streams = gyrei_streams_of(loop);
    gyrei_write_block *block = streams->free_blocks;

    if (len <= usual_room && block != NULL) {
        gyre_link *next = block->req.task.link.next;

        streams->free_count--;
        streams->free_blocks =
            next != NULL ? gyrei_block_of(GYRE_CONTAINER_OF(next, gyre_write_req, task.link))
                         : NULL;
        return block;
    }
    if (len < usual_room)
        len = usual_room;
    if (len > UINT32_MAX)
        return NULL;
    block = gyrei_loop_alloc(loop, sizeof(*block) + len);
    if (block != NULL)
        block->room = (uint32_t)len;
    return block;
}

static void block_free(gyre_loop *loop, gyrei_write_block *block)
{
    gyrei_loop_free(loop, block, sizeof(*block) + block->room);
}

void gyrei_block_give(gyre_loop *loop, gyrei_write_block *block)
{
    gyrei_streams *streams = gyrei_streams_of(loop);

    if (block->room != usual_room || streams->free_count >= BLOCKS_FREE_MAX) {
        block_free(loop, block);
        return;
    }
    block->req.task.link.next =
        streams->free_blocks != NULL ? &streams->free_blocks->req.task.link : NULL;
    streams->free_blocks = block;
    streams->free_count++;
}

void gyrei_blocks_free(gyre_loop *loop)
{
    gyrei_streams *streams = gyrei_streams_of(loop);

    if (streams->cork != NULL)
        gyrei_block_give(loop, streams->cork);
    streams->cork = NULL;
    while (streams->free_blocks != NULL)
        block_free(loop, gyrei_block_take(loop, 1));
}
