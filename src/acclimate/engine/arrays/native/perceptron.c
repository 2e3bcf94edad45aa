/* Forward and backward passes of perceptrons, one or two at a time, on one core or several.
 *
 * The same operations as in engine/mlp.py, in one call for a whole pass. Layers are of the size that agents have: the
 * products are blocked for the first cache only. Threads share the rows of a minibatch, and the units of a layer where
 * a sum goes over rows; each number is computed by one thread in one order, so that any number of threads gives the
 * same bits.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
#define WIDE 64
#elif defined(__AVX__)
#define WIDE 32
#else
#define WIDE 16
#endif
#define DEPTH 256
#define FEW 4
#define ENOUGH 32
enum { IDENTITY, TANH, RELU };

typedef struct {
    int64_t size, kind;
    void *weight, *bias;                   /* (size, in), (size,) */
    void *weight_gradient, *bias_gradient; /* the same; no weight gradient where it is not wanted */
    void *sums;                            /* (size,), over the rows of gradient times output, if they are wanted */
    void *out, *gradient;                  /* (rows, size): what it puts out, and the gradient there */
} Layer;

typedef struct {
    int64_t rows, in, layers, lowest; /* gradients are wanted from layer `lowest` on */
    const int64_t *chosen;            /* (rows,), which rows of the outputs a gradient is of, if not of all in order */
    void *below;                      /* (rows, columns), the gradient at the inputs from `column` on, if wanted */
    int64_t column, columns;
    Layer layer[];
} Net;

/* Where part `part` of `parts` begins among `count` rows or units: whole blocks of a product. */
static int share(int64_t count, int part, int parts) {
    if (part >= parts) return (int)count;
    return (int)(count * part / parts) / 8 * 8;
}

#define NUMBER float
#define INTEGER int32_t
#define NAME(x) x##_f
#define MOST 10.0f
#define MAGIC 12582912.0f
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define TERMS 8
#define BIAS 127
#define MANTISSA 23
#include "numbers.h"
#undef NUMBER
#undef INTEGER
#undef NAME
#undef MOST
#undef MAGIC
#undef LN2_HIGH
#undef LN2_LOW
#undef TERMS
#undef BIAS
#undef MANTISSA

#define NUMBER double
#define INTEGER int64_t
#define NAME(x) x##_d
#define MOST 20.0
#define MAGIC 6755399441055744.0
#define LN2_HIGH 6.93145751953125e-1
#define LN2_LOW 1.42860682030941723212e-6
#define TERMS 14
#define BIAS 1023
#define MANTISSA 52
#include "numbers.h"

/* One or two passes that are run together; neither reads what the other writes. */
typedef struct {
    const Net *net;
    const void *input;
    void *gradient; /* of a backward pass, else nothing */
} Pass;
enum { FORWARD, DESCENT, GATHER };
static struct {
    Pass pass[2];
    int passes, alike, phase, is_double;
} job;

static void run_one(const Pass *p, int part, int parts) {
    int first = share(p->net->rows, part, parts), last = share(p->net->rows, part + 1, parts);
    if (job.phase == GATHER)
        (job.is_double ? gather_d : gather_f)(p->net, p->input, p->gradient, part, parts);
    else if (job.phase == DESCENT)
        (job.is_double ? descent_d : descent_f)(p->net, p->gradient, first, last);
    else
        (job.is_double ? forward_d : forward_f)(p->net, p->input, first, last);
}

static void run(int part, int parts) {
    if (job.passes == 2 && job.alike && parts % 2 == 0) {
        run_one(&job.pass[part % 2], part / 2, parts / 2);
        return;
    }
    for (int i = 0; i < job.passes; i++) run_one(&job.pass[i], part, parts);
}

/* Whether two passes take about as long, so that each can have half of the threads: layers are then laid out for the
 * product once and not once by every thread. */
static int64_t size_of(const Net *net) {
    int64_t size = 0, in = net->in;
    for (int i = 0; i < net->layers; in = net->layer[i++].size) size += in * net->layer[i].size;
    return size * net->rows;
}

static int alike(const Net *one, const Net *other) {
    int64_t a = size_of(one), b = size_of(other);
    return 4 * (a < b ? b - a : a - b) < a;
}

/* Helpers take parts of the job beside the thread that was called; it takes parts itself until none is left, so that
 * one that does not get to run on a busy machine holds nobody up. Helpers spin for a while when there is nothing to do,
 * because waking up takes longer than a pass, and then sleep. `open` holds the next part in its lower half and the
 * number of parts in its upper one, so that both are read at once. */
#define HELPERS 7
#define PATIENCE 20000
static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_ullong open;
    atomic_int done, asleep, running;
} crew = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};

static inline void breathe(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static inline int left(unsigned long long open) { return (unsigned)open < (unsigned)(open >> 32); }

static int work(void) {
    int worked = 0;
    while (left(atomic_load(&crew.open))) {
        unsigned long long taken = atomic_fetch_add(&crew.open, 1);
        if (!left(taken)) break;
        run((int)(unsigned)taken, (int)(taken >> 32));
        atomic_fetch_add(&crew.done, 1);
        worked = 1;
    }
    return worked;
}

static void *help(void *nothing) {
    for (int idle = 0;; idle++) {
        if (work()) {
            idle = 0;
        } else if (idle < PATIENCE) {
            breathe();
        } else {
            pthread_mutex_lock(&crew.lock);
            atomic_fetch_add(&crew.asleep, 1);
            while (!left(atomic_load(&crew.open))) pthread_cond_wait(&crew.wake, &crew.lock);
            atomic_fetch_sub(&crew.asleep, 1);
            pthread_mutex_unlock(&crew.lock);
            idle = 0;
        }
    }
    return nothing;
}

/* The child of a fork has no helpers; it starts its own when it needs them. */
static void forked(void) {
    atomic_store(&crew.running, 0);
    atomic_store(&crew.asleep, 0);
    atomic_store(&crew.open, 0);
    pthread_mutex_init(&crew.lock, 0);
    pthread_cond_init(&crew.wake, 0);
}

/* Start helpers until so many threads can work, and return how many can. */
static int gather_crew(int threads) {
    static int watched;
    if (threads > HELPERS + 1) threads = HELPERS + 1;
    if (!watched && pthread_atfork(0, 0, forked)) return 1;
    watched = 1;
    while (atomic_load(&crew.running) < threads - 1) {
        pthread_t thread;
        if (pthread_create(&thread, 0, help, 0)) break;
        pthread_detach(thread);
        atomic_fetch_add(&crew.running, 1);
    }
    int can = atomic_load(&crew.running) + 1;
    return can < threads ? can : threads;
}

/* Run a phase of the job in so many parts. */
static void together(int phase, int parts) {
    job.phase = phase;
    if (parts == 1) {
        run(0, 1);
        return;
    }
    atomic_store(&crew.done, 0);
    atomic_store(&crew.open, (unsigned long long)parts << 32);
    if (atomic_load(&crew.asleep)) {
        pthread_mutex_lock(&crew.lock);
        pthread_cond_broadcast(&crew.wake);
        pthread_mutex_unlock(&crew.lock);
    }
    work();
    while (atomic_load(&crew.done) < parts) breathe();
}

/* Whether several threads pay now: on a machine that is busy with something else they do not. Of every ROUND calls the
 * first TRIAL run on several threads, the next TRIAL on one, and the rest on as many as took less time. Calls come in
 * the same order again and again, so both trials hold nearly the same work. */
enum { ROUND = 512, TRIAL = 24 };
static struct {
    int call;
    double seconds[2];
} trials;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static int several(void) {
    if (trials.call < 2 * TRIAL) return trials.call < TRIAL;
    return trials.seconds[1] < trials.seconds[0];
}

static void all(int parts) {
    if (job.pass[0].gradient) {
        together(DESCENT, parts);
        together(GATHER, parts);
    } else {
        together(FORWARD, parts);
    }
}

/* Run a pass, or two. Passes of few rows are run by the calling thread alone. */
void passes(const Net *net, const void *input, void *gradient, const Net *other, const void *other_input,
            void *other_gradient, int is_double, int threads) {
    job.pass[0] = (Pass){net, input, gradient};
    job.pass[1] = (Pass){other, other_input, other_gradient};
    job.passes = other ? 2 : 1;
    job.is_double = is_double;
    int few = net->rows < ENOUGH && (!other || other->rows < ENOUGH);
    if (threads < 2 || few || (threads = gather_crew(threads)) < 2) {
        all(1);
        return;
    }
    job.alike = other && alike(net, other);
    if (trials.call == 0) trials.seconds[0] = trials.seconds[1] = 0;
    int many = several();
    double begun = now();
    all(many ? threads : 1);
    if (trials.call < 2 * TRIAL) trials.seconds[many] += now() - begun;
    trials.call = (trials.call + 1) % ROUND;
}
