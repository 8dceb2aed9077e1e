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
    uint32_t floors[3];
} task_form;

static const task_form forms[TASK_KINDS] = {
    [TASK_SYNC] = {true, 0, 0, {0}, {0}},
    [TASK_DEFER] = {true, 0, 0, {0}, {0}},
    [TASK_TIMER] = {true, 1, 3, {100000, 100000, 1000}, {0}},
    [TASK_IDLE] = {true, 1, 1, {1000}, {1}},
    [TASK_CHECK] = {true, 1, 1, {1000}, {1}},
    [TASK_CLOSE] = {true, 0, 0, {0}, {0}},
    [TASK_SOCKET] = {true, 1, 3, {100000, 100000, 1000}, {0}},
    [TASK_CROWD] = {false, 3, 3, {CROWD_MAX, 10000, 10000}, {1, 1, 0}},
    [TASK_SLOW] = {true, 2, 2, {100000, 10000}, {0}},
    [TASK_SLICES] = {true, 2, 2, {100000, 10000}, {0}},
    [TASK_POOL] = {true, 2, 2, {100000, 10000}, {0}},
    [TASK_WORKER] = {true, 2, 2, {100000, 10000}, {0}},
    [TASK_POST] = {true, 1, 1, {100000}, {0}},
    [TASK_FLOOD] = {true, 2, 2, {100000, 1024}, {0, 1, 0}},
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

static bool read_number(const char *word, uint32_t least, uint32_t most, uint32_t *number,
                        char *why)
{
    char *end;
    const unsigned long value = strtoul(word, &end, 10);

    *number = (uint32_t)value;
    if (word[0] >= '0' && word[0] <= '9' && *end == '\0' && value >= least && value <= most)
        return true;
    snprintf(why, WHY_BYTES, "%.20s is no number from %u to %u", word, least, most);
    return false;
}

/* The C program beside the picture has it as an identifier. */
static bool is_name(const char *word)
{
    const size_t len = strlen(word);

    return len < NAME_MAX_BYTES && strchr("0123456789-", word[0]) == NULL &&
           strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

static bool read_mode(program_text *program, char **words, uint32_t count, char *why)
{
    static const char *const names[] = {"default", "once", "nowait"};
    int mode = 0;

    while (mode < 3 && (count < 2 || strcmp(words[1], names[mode]) != 0))
        mode++;
    if (mode == 3 || count > (mode == GYRE_RUN_DEFAULT ? 2 : 4)) {
        snprintf(why, WHY_BYTES, "mode is default, or once or nowait with TIMES and MS");
        return false;
    }
    program->mode = (gyre_run_mode)mode;
    program->calls = 1;
    program->work_ms = 0;
    return (count < 3 || read_number(words[2], 1, 1000, &program->calls, why)) &&
           (count < 4 || read_number(words[3], 0, 10000, &program->work_ms, why));
}

static bool read_workers(program_text *program, char **words, uint32_t count, char *why)
{
    snprintf(why, WHY_BYTES, "workers takes a number");
    return count == 2 && read_number(words[1], 1, WORKERS_MAX, &program->workers, why);
}

static bool read_beside(program_text *program, char **words, uint32_t count, char *why)
{
    snprintf(why, WHY_BYTES, "what stands beside it may be: threads");
    program->beside_threads = count == 2 && strcmp(words[1], "threads") == 0;
    return program->beside_threads;
}

typedef struct setting {
    const char *word;
    bool (*read)(program_text *program, char **words, uint32_t count, char *why);
} setting;

static const setting settings[] = {
    {"mode", read_mode},
    {"workers", read_workers},
    {"beside", read_beside},
};

static bool is_taken(const program_text *program, const task_text *task)
{
    for (uint32_t i = 0; i < program->count; i++) {
        if (&program->tasks[i] != task && strcmp(program->tasks[i].name, task->name) == 0)
            return true;
    }
    return false;
}

/* The page has to live through what its address says. */
static bool is_crowded(const program_text *program)
{
    uint64_t clients = 0;
    uint64_t lines = 0;

    for (uint32_t i = 0; i < program->count; i++) {
        const uint32_t *n = program->tasks[i].numbers;

        if (program->tasks[i].kind != TASK_CROWD)
            continue;
        clients += n[0];
        lines += (uint64_t)n[0] * (n[2] / n[1] + 1);
    }
    return clients > CROWD_MAX || lines > CROWD_LINES_MAX;
}

static void say_numbers(char *why, const char *word, const task_form *form)
{
    if (form->least == form->most)
        snprintf(why, WHY_BYTES, "%s takes %u number%s", word, form->least,
                 form->least == 1 ? "" : "s");
    else
        snprintf(why, WHY_BYTES, "%s takes %u to %u numbers", word, form->least, form->most);
}

static bool read_task(task_text *task, char **words, uint32_t count, char *why)
{
    const task_form *form = &forms[task->kind];
    uint32_t at = 1;

    if (form->is_named) {
        if (count < 2 || !is_name(words[1])) {
            snprintf(why, WHY_BYTES, "%s needs a name that begins with a letter", words[0]);
            return false;
        }
        snprintf(task->name, sizeof(task->name), "%s", words[at++]);
    } else {
        snprintf(task->name, sizeof(task->name), "%s", words[0]);
    }
    if (count - at < form->least || count - at > form->most) {
        say_numbers(why, words[0], form);
        return false;
    }
    for (uint32_t i = 0; at < count; i++, at++) {
        if (!read_number(words[at], form->floors[i], form->limits[i], &task->numbers[i], why))
            return false;
    }
    return true;
}

static bool add_task(program_text *program, task_kind kind, char **words, uint32_t count, char *why)
{
    task_text *task = &program->tasks[program->count];

    if (program->count == TASKS_MAX) {
        snprintf(why, WHY_BYTES, "more than %d tasks", TASKS_MAX);
        return false;
    }
    *task = (task_text){.kind = kind};
    program->count++;
    if (!read_task(task, words, count, why))
        return false;
    if (is_taken(program, task)) {
        snprintf(why, WHY_BYTES, "there is a %s already", task->name);
        return false;
    }
    if (is_crowded(program)) {
        snprintf(why, WHY_BYTES, "a crowd has at most %u clients, and sends at most %u lines",
                 CROWD_MAX, CROWD_LINES_MAX);
        return false;
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
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (strcmp(words[0], settings[i].word) == 0)
            return settings[i].read(program, words, count, why);
    }
    for (int kind = 0; kind < TASK_KINDS; kind++) {
        if (strcmp(words[0], task_words[kind]) == 0)
            return add_task(program, (task_kind)kind, words, count, why);
    }
    snprintf(why, WHY_BYTES, "%.20s is no kind of task", words[0]);
    return false;
}

int program_parse(const char *text, program_text *program, char *why)
{
    char line[128];

    *program = (program_text){.mode = GYRE_RUN_DEFAULT, .calls = 1, .workers = 1};
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
