/* SPDX-License-Identifier: MIT */
/* evil_machine.c - calls that widen the way into the kernel, and objects that belong to a user. */
#include "evil.h"

#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define QUEUE_NAME "/millrace-hostile"
#define KEY_NAME "millrace-hostile"
#define OBJECT_KEY 0x6d6c7263
#define SESSION_KEYRING -3L
#define USER_KEYRING -4L
#define KEYCTL_SEARCH 10L
#define KEYCTL_REVOKE 3L

/* A call with arguments that make it fail harmlessly where it is not denied. */
static int refused(long number)
{
    return SAID(syscall(number, -1L, -1L, -1L, -1L, -1L, -1L));
}

static int call_bpf(struct evil *evil)
{
    (void)evil;
    return refused(SYS_bpf);
}

static int call_userfaultfd(struct evil *evil)
{
    (void)evil;
    return SAID(syscall(SYS_userfaultfd, 1L));
}

static int call_io_uring(struct evil *evil)
{
    (void)evil;
    return refused(SYS_io_uring_setup);
}

static int call_fanotify(struct evil *evil)
{
    (void)evil;
    return refused(SYS_fanotify_init);
}

static int set_ptracer(struct evil *evil)
{
    (void)evil;
    return SAID(prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0));
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int key_add(struct evil *evil)
{
    (void)evil;
    return SAID(syscall(SYS_add_key, "user", KEY_NAME, "x", 1L, USER_KEYRING));
}

static int key_request(struct evil *evil)
{
    (void)evil;
    return SAID(syscall(SYS_request_key, "user", KEY_NAME, NULL, USER_KEYRING));
}

static int key_revoke(struct evil *evil)
{
    (void)evil;
    long key = syscall(SYS_keyctl, KEYCTL_SEARCH, SESSION_KEYRING, "user", KEY_NAME, 0L);
    return key == -1 ? -errno : SAID(syscall(SYS_keyctl, KEYCTL_REVOKE, key));
}

/* ---- objects with a name or a number: one worker makes one, another one takes it ------------- */

static int queue_make(struct evil *evil)
{
    (void)evil;
    mqd_t queue = mq_open(QUEUE_NAME, O_CREAT | O_RDWR, 0600, NULL);
    return queue == (mqd_t)-1 ? -errno : SAID(mq_close(queue));
}

static int queue_open(struct evil *evil)
{
    (void)evil;
    mqd_t queue = mq_open(QUEUE_NAME, O_RDWR);
    return queue == (mqd_t)-1 ? -errno : SAID(mq_close(queue));
}

static int queue_remove(struct evil *evil)
{
    (void)evil;
    return SAID(mq_unlink(QUEUE_NAME));
}

/* The answer is the number, for the attacker. */
static int number_say(struct evil *evil, int id)
{
    return id == -1 ? -errno : evil_say_count(evil, id);
}

static int memory_make(struct evil *evil)
{
    return number_say(evil, shmget(OBJECT_KEY, 4096, IPC_CREAT | 0600));
}

static int memory_attach(struct evil *evil)
{
    void *memory = shmat((int)evil_number(evil, 1, 0), NULL, 0);
    return memory == (void *)-1 ? -errno : SAID(shmdt(memory));
}

static int memory_remove(struct evil *evil)
{
    return SAID(shmctl((int)evil_number(evil, 1, 0), IPC_RMID, NULL));
}

static int semaphore_make(struct evil *evil)
{
    return number_say(evil, semget(OBJECT_KEY, 1, IPC_CREAT | 0600));
}

static int semaphore_remove(struct evil *evil)
{
    return SAID(semctl((int)evil_number(evil, 1, 0), 0, IPC_RMID));
}

static int messages_make(struct evil *evil)
{
    return number_say(evil, msgget(OBJECT_KEY, IPC_CREAT | 0600));
}

static int messages_remove(struct evil *evil)
{
    return SAID(msgctl((int)evil_number(evil, 1, 0), IPC_RMID, NULL));
}

/* Word 1 is what its name ends with. */
static int named_memory_open_as(struct evil *evil, int flags)
{
    char name[64];
    snprintf(name, sizeof(name), "/evil-%s", evil_word(evil, 1, "0"));
    int fd = shm_open(name, flags, 0600);
    return fd == -1 ? -errno : SAID(close(fd));
}

static int named_memory_make(struct evil *evil)
{
    return named_memory_open_as(evil, O_CREAT | O_RDWR);
}

static int named_memory_open(struct evil *evil)
{
    return named_memory_open_as(evil, O_RDWR);
}

static int named_memory_remove(struct evil *evil)
{
    char name[64];
    snprintf(name, sizeof(name), "/evil-%s", evil_word(evil, 1, "0"));
    return SAID(shm_unlink(name));
}

const struct attack evil_machine[] = {
    {"bpf", call_bpf, "programs in the kernel"},
    {"userfaultfd", call_userfaultfd, "page faults in one's own hands"},
    {"io_uring_setup", call_io_uring, "calls that no filter sees"},
    {"fanotify_init", call_fanotify, "is told of, and may refuse, what others open"},
    {"prctl-ptracer", set_ptracer, "lets everyone trace oneself"},
    {"add_key", key_add, "a key in the keyring of the user"},
    {"request_key", key_request, "looks for a key of the user"},
    {"keyctl", key_revoke, "revokes a key of the user"},
    {"mq-make", queue_make, "a message queue with a name"},
    {"mq-open", queue_open, "opens another worker's message queue"},
    {"mq-remove", queue_remove, "removes another worker's message queue"},
    {"shm-make", memory_make, "shared memory with a number (System V)"},
    {"shm-attach", memory_attach, "attaches another worker's shared memory"},
    {"shm-remove", memory_remove, "removes another worker's shared memory"},
    {"sem-make", semaphore_make, "a semaphore with a number (System V)"},
    {"sem-remove", semaphore_remove, "removes another worker's semaphore"},
    {"msg-make", messages_make, "a message queue with a number (System V)"},
    {"msg-remove", messages_remove, "removes another worker's message queue"},
    {"posix-shm-make", named_memory_make, "a file in /dev/shm"},
    {"posix-shm-open", named_memory_open, "opens another worker's file in /dev/shm"},
    {"posix-shm-remove", named_memory_remove, "removes another worker's file in /dev/shm"},
    {NULL, NULL, NULL},
};
