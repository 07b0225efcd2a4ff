/*
 * team.c
 *	  Threads that do pieces of work beside their owner.
 */
#include "team.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct team
{
	struct store_host host;
	pthread_mutex_t lock; /* of what the threads and the owner both change */
	pthread_cond_t wake;
	struct team_work work;
	uint32_t next;  /* piece that nobody has begun */
	uint32_t begun; /* by threads, and not done */
	bool ends;
	atomic_bool stopped;
	int done_event; /* readable once threads have done the last piece */
	int members;
	struct member *threads;
	int thread_count;
};

struct member
{
	struct team *team;
	int number;
	pthread_t thread;
};

/* The next piece, if there is one. Called with the lock. */
static bool
take_piece(struct team *team, uint32_t *piece)
{
	if (team->next == team->work.pieces)
		return false;
	*piece = team->next++;
	return true;
}

static void
tell_owner(const struct team *team)
{
	uint64_t one = 1;

	/* It fails only where the owner has been told often and has not looked. */
	(void) !write(team->done_event, &one, sizeof(one));
}

static void *
run_member(void *arg)
{
	struct member *member = arg;
	struct team *team = member->team;
	uint32_t piece;

	pthread_mutex_lock(&team->lock);
	while (!team->ends)
	{
		if (!take_piece(team, &piece))
		{
			pthread_cond_wait(&team->wake, &team->lock);
			continue;
		}
		team->begun++;
		pthread_mutex_unlock(&team->lock);
		team->work.run(team->work.arg, piece, member->number);
		pthread_mutex_lock(&team->lock);
		if (--team->begun == 0 && team->next == team->work.pieces)
			tell_owner(team);
	}
	pthread_mutex_unlock(&team->lock);
	return NULL;
}

/* With all signals blocked, so that none is ever delivered to a thread. */
static void
start_threads(struct team *team)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (team->thread_count < team->members - 1)
	{
		struct member *member = &team->threads[team->thread_count];

		member->team = team;
		member->number = team->thread_count + 1;
		if (pthread_create(&member->thread, NULL, run_member, member) != 0)
			break;
		team->thread_count++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static bool
wait_by_poll(void *arg, int fd, int timeout_ms)
{
	struct pollfd waiting = {.fd = fd, .events = POLLIN};

	return poll(&waiting, 1, timeout_ms) >= 0 || errno == EINTR;
}

struct team *
team_open(int members, const struct store_host *host)
{
	struct team *team = calloc(1, sizeof(*team));

	if (!team)
		return NULL;
	team->host = host && host->wait ? *host : (struct store_host){wait_by_poll, NULL};
	team->members = members;
	team->threads = calloc((size_t) members, sizeof(*team->threads));
	if (!team->threads)
	{
		free(team);
		return NULL;
	}
	pthread_mutex_init(&team->lock, NULL);
	pthread_cond_init(&team->wake, NULL);
	team->done_event = members > 1 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	if (team->done_event >= 0)
		start_threads(team);
	return team;
}

void
team_begin(struct team *team, const struct team_work *work)
{
	pthread_mutex_lock(&team->lock);
	team->work = *work;
	team->next = 0;
	pthread_cond_broadcast(&team->wake);
	pthread_mutex_unlock(&team->lock);
}

static bool
threads_are_busy(struct team *team)
{
	uint64_t told;
	bool busy;

	pthread_mutex_lock(&team->lock);
	busy = team->begun > 0;
	if (team->thread_count > 0)
		(void) !read(team->done_event, &told, sizeof(told));
	pthread_mutex_unlock(&team->lock);
	return busy;
}

bool
team_finish(struct team *team)
{
	uint32_t piece;
	bool taken;

	for (;;)
	{
		pthread_mutex_lock(&team->lock);
		taken = take_piece(team, &piece);
		pthread_mutex_unlock(&team->lock);
		if (!taken)
			break;
		team->work.run(team->work.arg, piece, 0);
		if (atomic_load(&team->stopped))
			return false;
	}
	while (threads_are_busy(team))
	{
		if (!team->host.wait(team->host.arg, team->done_event, -1))
			return false;
	}
	return true;
}

bool
team_stopped(struct team *team, int member)
{
	if (member == 0 && !team->host.wait(team->host.arg, -1, 0))
		atomic_store(&team->stopped, true);
	return atomic_load(&team->stopped);
}

void
team_close(struct team *team)
{
	int i;

	if (!team)
		return;
	atomic_store(&team->stopped, true);
	pthread_mutex_lock(&team->lock);
	team->ends = true;
	pthread_cond_broadcast(&team->wake);
	pthread_mutex_unlock(&team->lock);
	for (i = 0; i < team->thread_count; i++)
		pthread_join(team->threads[i].thread, NULL);
	if (team->done_event >= 0)
		close(team->done_event);
	pthread_mutex_destroy(&team->lock);
	pthread_cond_destroy(&team->wake);
	free(team->threads);
	free(team);
}
