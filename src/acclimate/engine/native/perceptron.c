/* Forward and backward passes of perceptrons, alone or two at a time on two cores.
 *
 * The same operations as in engine/mlp.py, in one call for a whole pass. Layers are of the size that agents have: the
 * products are blocked for the first cache only.
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
#define FEW 8
enum { IDENTITY, TANH, RELU };

typedef struct {
    int64_t size, kind;
    void *weight, *bias;                   /* (size, in), (size,) */
    void *weight_gradient, *bias_gradient; /* the same; no weight gradient where the layer is not trained */
    void *out, *gradient;                  /* (rows, size): what it puts out, and the gradient there */
} Layer;

typedef struct {
    int64_t rows, in, layers, lowest; /* gradients are wanted from layer `lowest` on */
    Layer layer[];
} Net;

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

/* One half of a pair of passes. */
typedef struct {
    const Net *net;
    const void *input;
    void *gradient; /* of a backward pass, else nothing */
    int is_double;
} Pass;

static void run(const Pass *pass) {
    if (pass->is_double)
        pass->gradient ? backward_d(pass->net, pass->input, pass->gradient) : forward_d(pass->net, pass->input);
    else
        pass->gradient ? backward_f(pass->net, pass->input, pass->gradient) : forward_f(pass->net, pass->input);
}

/* A second thread that spins for a while between passes, and sleeps when none come. Its half is run by whoever takes
 * it first: where the machine is busy and the thread does not get to it, the first one does both. */
enum { NOTHING, OFFERED, TAKEN, DONE };
static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_int state, asleep, running;
    Pass pass;
} second = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};

#define PATIENCE 20000

static inline void breathe(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static int take(void) {
    int offered = OFFERED;
    return atomic_compare_exchange_strong(&second.state, &offered, TAKEN);
}

static void *serve(void *nothing) {
    for (int idle = 0;; idle++) {
        if (atomic_load(&second.state) == OFFERED && take()) {
            run(&second.pass);
            atomic_store(&second.state, DONE);
            idle = 0;
        } else if (idle < PATIENCE) {
            breathe();
        } else {
            pthread_mutex_lock(&second.lock);
            atomic_store(&second.asleep, 1);
            while (atomic_load(&second.state) != OFFERED) pthread_cond_wait(&second.wake, &second.lock);
            atomic_store(&second.asleep, 0);
            pthread_mutex_unlock(&second.lock);
            idle = 0;
        }
    }
    return nothing;
}

/* The child of a fork has no second thread; it starts its own when it needs one. */
static void forked(void) {
    atomic_store(&second.running, 0);
    atomic_store(&second.asleep, 0);
    atomic_store(&second.state, NOTHING);
    pthread_mutex_init(&second.lock, 0);
    pthread_cond_init(&second.wake, 0);
}

static int start(void) {
    static int watched;
    pthread_t thread;
    if (atomic_load(&second.running)) return 1;
    if (!watched && pthread_atfork(0, 0, forked)) return 0;
    watched = 1;
    if (pthread_create(&thread, 0, serve, 0)) return 0;
    pthread_detach(thread);
    atomic_store(&second.running, 1);
    return 1;
}

static void beside(const Pass *mine) {
    atomic_store(&second.state, OFFERED);
    if (atomic_load(&second.asleep)) {
        pthread_mutex_lock(&second.lock);
        pthread_cond_signal(&second.wake);
        pthread_mutex_unlock(&second.lock);
    }
    run(mine);
    if (take())
        run(&second.pass);
    else
        while (atomic_load(&second.state) != DONE) breathe();
    atomic_store(&second.state, NOTHING);
}

/* Whether two threads pay now: on a machine that is busy with something else they do not. Of every ROUND pairs the
 * first TRIAL run on two threads, the next TRIAL on one, and the rest on as many as took less time. Passes forward and
 * back alternate, so both trials hold the same work; what is computed is the same either way. */
enum { ROUND = 512, TRIAL = 16 };
static struct {
    int pair;
    double seconds[2];
} trials;

static int pays(void) {
    if (trials.pair < TRIAL) return 1;
    if (trials.pair < 2 * TRIAL) return 0;
    return trials.seconds[1] < trials.seconds[0];
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* Run a pass, or two beside each other; neither reads what the other writes. */
void passes(const Net *net, const void *input, void *gradient, const Net *other, const void *other_input,
            void *other_gradient, int is_double, int threads) {
    Pass mine = {net, input, gradient, is_double};
    if (!other) {
        run(&mine);
        return;
    }
    second.pass = (Pass){other, other_input, other_gradient, is_double};
    if (threads < 2 || !start()) {
        run(&mine);
        run(&second.pass);
        return;
    }
    if (trials.pair == 0) trials.seconds[0] = trials.seconds[1] = 0;
    int two = pays();
    double begun = now();
    if (two) {
        beside(&mine);
    } else {
        run(&mine);
        run(&second.pass);
    }
    if (trials.pair < 2 * TRIAL) trials.seconds[two] += now() - begun;
    trials.pair = (trials.pair + 1) % ROUND;
}
