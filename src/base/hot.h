/*
 * The functions that every request passes through stand together in the program.
 *
 * Between two of their runs the kernel has had the processor, and its caches are full of its own
 * instructions: what counts is from how many lines and pages these functions must be fetched again.
 * Together they stand in three pages, apart in a dozen.
 */
#ifndef GYREI_BASE_HOT_H
#define GYREI_BASE_HOT_H

#if defined(__GNUC__)
#define GYREI_HOT __attribute__((hot))
#else
#define GYREI_HOT
#endif

#endif
