/*
 * Gyre, an event loop for C: the umbrella header, includes only.
 */
#ifndef GYRE_H
#define GYRE_H

#include "gyre/address.h"
#include "gyre/async.h"
#include "gyre/base.h"
#include "gyre/cluster.h"
#include "gyre/error.h"
#include "gyre/fs.h"
#include "gyre/group.h"
#include "gyre/handle.h"
#include "gyre/hook.h"
#include "gyre/http.h"
#include "gyre/loop.h"
#include "gyre/mailbox.h"
#include "gyre/pipe.h"
#include "gyre/poll.h"
#include "gyre/ring.h"
#include "gyre/signal.h"
#include "gyre/sim.h"
#include "gyre/stream.h"
#include "gyre/tcp.h"
#include "gyre/timer.h"
#include "gyre/trace.h"
#include "gyre/work.h"

#endif
