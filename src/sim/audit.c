/*
 * The checkers of the world: after each turn every loop must be sound (core/verify.c). What waits
 * to be run is looked at each time; the whole loop, which costs more the more there is in it, once
 * in so many turns that this stays small beside the turns themselves.
 */
#include "core/loop.h"
#include "sim/sim.h"

enum { TURNS_MIN = 256 };

void gyrei_sim_audit(gyrei_sim_loop *self)
{
    gyre_sim *sim = self->host->sim;
    const char *flaw;

    if (self->audit_in > 0) {
        self->audit_in--;
        flaw = gyrei_loop_verify_queues(self->loop);
    } else {
        self->audit_in = TURNS_MIN + gyre_loop_handle_count(self->loop);
        flaw = gyrei_loop_verify(self->loop);
    }
    if (flaw != NULL && sim->failure == NULL)
        sim->failure = flaw;
}
