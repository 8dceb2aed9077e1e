/*
 * The end of a forked child of a test.
 */
#ifndef GYRE_TEST_CHILD_H
#define GYRE_TEST_CHILD_H

/*
 * As _exit: nothing that the parent has not written yet is written twice. But what the child
 * reached is counted where coverage is measured.
 */
__attribute__((noreturn)) void child_exit(int status);

#endif
