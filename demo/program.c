/*
 * Reads a program's text: one task a line, words and numbers, blank lines and # comments.
 */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 6, WHY_BYTES = 100 };

const char *const task_words[TASK_KINDS] = {
    "sync",  "defer", "timer",  "idle", "check",  "close", "socket",
    "crowd", "slow",  "slices", "pool", "worker", "post",  "flood",
};

typedef struct task_form {
    bool is_named;
    uint32_t least; /* numbers */
    uint32_t most;
    uint32_t limits[3];
} task_form;

static const task_form forms[TASK_KINDS] = {
    [TASK_SYNC] = {true, 0, 0, {0}},
    [TASK_DEFER] = {true, 0, 0, {0}},
    [TASK_TIMER] = {true, 1, 3, {100000, 100000, 1000}},
    [TASK_IDLE] = {true, 1, 1, {1000}},
    [TASK_CHECK] = {true, 1, 1, {1000}},
    [TASK_CLOSE] = {true, 0, 0, {0}},
    [TASK_SOCKET] = {true, 1, 3, {100000, 100000, 1000}},
    [TASK_CROWD] = {false, 3, 3, {CROWD_MAX, 10000, 10000}},
    [TASK_SLOW] = {true, 2, 2, {100000, 10000}},
    [TASK_SLICES] = {true, 2, 2, {100000, 10000}},
    [TASK_POOL] = {true, 2, 2, {100000, 10000}},
    [TASK_WORKER] = {true, 2, 2, {100000, 10000}},
    [TASK_POST] = {true, 1, 1, {100000}},
    [TASK_FLOOD] = {true, 2, 2, {100000, 1024}},
};

/* Splits a line, in place, into at most WORDS_MAX words; more are counted, not kept. */
static uint32_t split(char *line, char **words)
{
    uint32_t count = 0;

    for (char *word = strtok(line, " \t\r"); word != NULL; word = strtok(NULL, " \t\r")) {
        if (count < WORDS_MAX)
            words[count] = word;
        count++;
    }
    return count;
}

static bool read_number(const char *word, uint32_t limit, uint32_t *number)
{
    char *end;
    const unsigned long value = strtoul(word, &end, 10);

    *number = (uint32_t)value;
    return word[0] >= '0' && word[0] <= '9' && *end == '\0' && value <= limit;
}

static bool is_name(const char *word)
{
    const size_t len = strlen(word);

    return len < NAME_MAX_BYTES &&
           strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

static bool read_mode(const char *word, gyre_run_mode *mode)
{
    static const char *const names[] = {"default", "once", "nowait"};

    for (int i = 0; i < 3; i++) {
        if (strcmp(word, names[i]) == 0) {
            *mode = (gyre_run_mode)i;
            return true;
        }
    }
    return false;
}

static bool read_task(task_text *task, char **words, uint32_t count, char *why)
{
    const task_form *form = &forms[task->kind];
    uint32_t at = 1;

    if (form->is_named) {
        if (count < 2 || !is_name(words[1])) {
            snprintf(why, WHY_BYTES, "%s needs a name of letters and digits", words[0]);
            return false;
        }
        snprintf(task->name, sizeof(task->name), "%s", words[at++]);
    } else {
        snprintf(task->name, sizeof(task->name), "%s", words[0]);
    }
    if (count - at < form->least || count - at > form->most) {
        snprintf(why, WHY_BYTES, "%s takes %u to %u numbers", words[0], form->least, form->most);
        return false;
    }
    for (uint32_t i = 0; at < count; i++, at++) {
        if (!read_number(words[at], form->limits[i], &task->numbers[i])) {
            snprintf(why, WHY_BYTES, "%.20s is no number up to %u", words[at], form->limits[i]);
            return false;
        }
    }
    return true;
}

static bool read_line(program_text *program, char *line, char *why)
{
    char *words[WORDS_MAX];
    const uint32_t count = split(line, words);

    if (count == 0 || words[0][0] == '#')
        return true;
    if (count > WORDS_MAX) {
        snprintf(why, WHY_BYTES, "too many words");
        return false;
    }
    if (strcmp(words[0], "mode") == 0) {
        snprintf(why, WHY_BYTES, "mode is default, once or nowait");
        return count == 2 && read_mode(words[1], &program->mode);
    }
    for (int kind = 0; kind < TASK_KINDS; kind++) {
        if (strcmp(words[0], task_words[kind]) != 0)
            continue;
        if (program->count == TASKS_MAX) {
            snprintf(why, WHY_BYTES, "more than %d tasks", TASKS_MAX);
            return false;
        }
        program->tasks[program->count] = (task_text){.kind = (task_kind)kind};
        return read_task(&program->tasks[program->count++], words, count, why);
    }
    snprintf(why, WHY_BYTES, "%.20s is no kind of task", words[0]);
    return false;
}

int program_parse(const char *text, program_text *program, char *why)
{
    char line[128];

    *program = (program_text){.mode = GYRE_RUN_DEFAULT};
    why[0] = '\0';
    for (int number = 1; *text != '\0'; number++) {
        const size_t len = strcspn(text, "\n");

        if (len >= sizeof(line)) {
            snprintf(why, WHY_BYTES, "a line of more than %u characters",
                     (unsigned)sizeof(line) - 1);
            return number;
        }
        memcpy(line, text, len);
        line[len] = '\0';
        if (!read_line(program, line, why))
            return number;
        text += len + (text[len] == '\n');
    }
    return 0;
}
