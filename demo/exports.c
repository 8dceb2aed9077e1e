/*
 * What the page calls. Texts go in through demo_room, and out as addresses of texts that last until
 * the next call.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))

enum { ROOM = 4096 };

static char room[ROOM];
static char why[128];
static engine *open_engine;
static program_text program;
static char *source;

/* Where the page writes a program's text, ended by a 0. */
EXPORT("demo_room") char *demo_room(void)
{
    return room;
}

EXPORT("demo_room_bytes") uint32_t demo_room_bytes(void)
{
    return ROOM;
}

/* Opens the program in the room. 0, or the number of the line that is wrong: demo_why says how. */
EXPORT("demo_open") int demo_open(uint32_t seed)
{
    const int wrong = program_parse(room, &program, why);

    if (wrong != 0)
        return wrong;
    if (open_engine != NULL)
        engine_close(open_engine);
    open_engine = engine_open(&program, seed);
    free(source);
    source = source_text(&program);
    return 0;
}

EXPORT("demo_why") const char *demo_why(void)
{
    return why;
}

/* Lets so many events pass; the picture after the last one, or NULL when there was none. */
EXPORT("demo_step") const char *demo_step(uint32_t count)
{
    return engine_step(open_engine, count);
}

EXPORT("demo_source") const char *demo_source(void)
{
    return source;
}

EXPORT("demo_order") const char *demo_order(void)
{
    return open_engine->order != NULL ? open_engine->order : "";
}

EXPORT("demo_scene_count") uint32_t demo_scene_count(void)
{
    return scene_count;
}

EXPORT("demo_scene_name") const char *demo_scene_name(uint32_t index)
{
    return scenes[index].name;
}

EXPORT("demo_scene_title") const char *demo_scene_title(uint32_t index)
{
    return scenes[index].title;
}

EXPORT("demo_scene_program") const char *demo_scene_program(uint32_t index)
{
    return scenes[index].program;
}

EXPORT("demo_scene_words") const char *demo_scene_words(uint32_t index)
{
    return scenes[index].words;
}
