/*
 * Giving up privileges: groups first, then the group, then the user, and each of them is looked at
 * afterwards, because a call that did not do what it said would leave a root process in the net.
 */
#include "cluster/process.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct identity {
    uid_t uid;
    gid_t gid;
    bool has_user;
    bool has_group;
} identity;

static bool read_number(const char *text, uint32_t *number)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);

    *number = (uint32_t)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value < UINT32_MAX;
}

/* The names are looked up before anything is given up: the files may not be readable later. */
static int look_up(const char *user, const char *group, identity *who)
{
    *who = (identity){.has_user = user != NULL, .has_group = user != NULL || group != NULL};
    if (user != NULL) {
        const struct passwd *entry = getpwnam(user);

        if (entry == NULL && read_number(user, &who->uid))
            entry = getpwuid(who->uid);
        if (entry == NULL)
            return GYRE_ENOENT;
        who->uid = entry->pw_uid;
        who->gid = entry->pw_gid;
    }
    if (group != NULL) {
        const struct group *entry = getgrnam(group);

        if (entry == NULL && !read_number(group, &who->gid))
            return GYRE_ENOENT;
        if (entry != NULL)
            who->gid = entry->gr_gid;
    }
    return 0;
}

int gyrei_privileges_check(const char *user, const char *group)
{
    identity who;

    return look_up(user, group, &who);
}

static bool group_is(gid_t gid)
{
    gid_t real;
    gid_t effective;
    gid_t saved;

    return getresgid(&real, &effective, &saved) == 0 && real == gid && effective == gid &&
           saved == gid;
}

/* And there is no way back. */
static bool user_is(uid_t uid)
{
    uid_t real;
    uid_t effective;
    uid_t saved;

    return getresuid(&real, &effective, &saved) == 0 && real == uid && effective == uid &&
           saved == uid && (uid == 0 || setuid(0) != 0);
}

int gyrei_privileges_drop(const char *user, const char *group)
{
    identity who;
    int error = look_up(user, group, &who);

    if (error != 0)
        return error;
    /* Who may not set groups may still become what it is already. */
    if (who.has_group && setgroups(1, &who.gid) != 0 && !(errno == EPERM && group_is(who.gid)))
        return -errno;
    if (who.has_group && (setresgid(who.gid, who.gid, who.gid) != 0 || !group_is(who.gid)))
        return GYRE_EPERM;
    if (who.has_user && (setresuid(who.uid, who.uid, who.uid) != 0 || !user_is(who.uid)))
        return GYRE_EPERM;
    return 0;
}
