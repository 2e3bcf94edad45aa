/* Matrix products and activations for one type of number; included once for float and once for double.
 *
 * NUMBER is the type, WIDE the bytes of a vector, NAME(x) gives a function its type's name.
 */

#define LANES ((int)(WIDE / sizeof(NUMBER)))
#define PANEL (2 * LANES)
typedef NUMBER NAME(vec) __attribute__((vector_size(WIDE), aligned(sizeof(NUMBER))));
#define VEC NAME(vec)

/* Multiply `rows` rows of a (strides `down` and `along`) by a packed panel of b, into rows of c. */
#define KERNEL(rows)                                                                                                  \
    static void NAME(kernel##rows)(int k, const NUMBER *a, long down, long along, const NUMBER *panel, NUMBER *c,     \
                                   long width, int columns, int add) {                                                \
        VEC sum[rows][2];                                                                                              \
        for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (VEC){0};                                               \
        for (int i = 0; i < k; i++, a += along, panel += PANEL) {                                                      \
            VEC left = *(const VEC *)panel, right = *(const VEC *)(panel + LANES);                                     \
            _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++) {                                                   \
                NUMBER one = a[r * down];                                                                              \
                sum[r][0] += one * left;                                                                               \
                sum[r][1] += one * right;                                                                              \
            }                                                                                                          \
        }                                                                                                              \
        NUMBER part[PANEL];                                                                                            \
        for (int r = 0; r < rows; r++, c += width) {                                                                   \
            if (columns == PANEL) {                                                                                    \
                VEC *out = (VEC *)c, *more = (VEC *)(c + LANES);                                                       \
                *out = add ? *out + sum[r][0] : sum[r][0];                                                             \
                *more = add ? *more + sum[r][1] : sum[r][1];                                                           \
            } else {                                                                                                   \
                *(VEC *)part = sum[r][0];                                                                              \
                *(VEC *)(part + LANES) = sum[r][1];                                                                    \
                for (int j = 0; j < columns; j++) c[j] = add ? c[j] + part[j] : part[j];                               \
            }                                                                                                          \
        }                                                                                                              \
    }
KERNEL(8)
KERNEL(4)
KERNEL(2)
KERNEL(1)
#undef KERNEL

/* c (m, n), its rows `width` apart, = a (m, k) b (k, n), each with its strides; `room` holds DEPTH * PANEL numbers. */
static void NAME(product)(int m, int n, int k, const NUMBER *a, long a_down, long a_along, const NUMBER *b, long b_down,
                          long b_along, NUMBER *c, long width, NUMBER *room) {
    for (int first = 0; first < k; first += DEPTH) {
        int depth = k - first < DEPTH ? k - first : DEPTH;
        for (int column = 0; column < n; column += PANEL) {
            int columns = n - column < PANEL ? n - column : PANEL;
            for (int i = 0; i < depth; i++) {
                const NUMBER *from = b + (first + i) * b_down + column * b_along;
                NUMBER *to = room + i * PANEL;
                if (b_along == 1 && columns == PANEL) {
                    memcpy(to, from, PANEL * sizeof(NUMBER));
                } else {
                    for (int j = 0; j < columns; j++) to[j] = from[j * b_along];
                    for (int j = columns; j < PANEL; j++) to[j] = 0;
                }
            }
            const NUMBER *rows = a + first * a_along;
            NUMBER *out = c + column;
            int row = 0;
            for (; row + 8 <= m; row += 8)
                NAME(kernel8)(depth, rows + row * a_down, a_down, a_along, room, out + row * width, width, columns, first);
            if (row + 4 <= m) {
                NAME(kernel4)(depth, rows + row * a_down, a_down, a_along, room, out + row * width, width, columns, first);
                row += 4;
            }
            if (row + 2 <= m) {
                NAME(kernel2)(depth, rows + row * a_down, a_down, a_along, room, out + row * width, width, columns, first);
                row += 2;
            }
            if (row < m)
                NAME(kernel1)(depth, rows + row * a_down, a_down, a_along, room, out + row * width, width, columns, first);
        }
    }
}

/* c (m, n) = a (m, k) b^T with b (n, k): for so few rows that packing b would take longer than the product. */
static void NAME(inner)(int m, int n, int k, const NUMBER *a, const NUMBER *b, NUMBER *c) {
    int whole = k - k % LANES;
    for (int column = 0; column < n; column++, b += k)
        for (int row = 0; row < m; row++) {
            const NUMBER *x = a + row * k;
            VEC sum = {0}, more = {0};
            int i = 0;
            for (; i + PANEL <= whole; i += PANEL) {
                sum += *(const VEC *)(x + i) * *(const VEC *)(b + i);
                more += *(const VEC *)(x + i + LANES) * *(const VEC *)(b + i + LANES);
            }
            for (; i < whole; i += LANES) sum += *(const VEC *)(x + i) * *(const VEC *)(b + i);
            sum += more;
            NUMBER total = 0;
            for (int j = 0; j < LANES; j++) total += sum[j];
            for (; i < k; i++) total += x[i] * b[i];
            c[row * n + column] = total;
        }
}

/* tanh(x) = e / (e + 2) with e = exp(2 x) - 1, whose series is summed near zero, where nothing cancels. */
static inline NUMBER NAME(hyperbolic)(NUMBER x) {
    NUMBER z = 2 * (x > MOST ? MOST : x < -MOST ? -MOST : x);
    NUMBER halves = (z * (NUMBER)1.44269504088896340736 + MAGIC) - MAGIC;
    NUMBER r = z - halves * LN2_HIGH - halves * LN2_LOW;
    NUMBER series = 0;
    _Pragma("GCC unroll 16") for (int i = TERMS; i > 0; i--) series = (1 + series) * r * ((NUMBER)1 / i);
    union { INTEGER bits; NUMBER value; } power = {.bits = ((INTEGER)halves + BIAS) << MANTISSA};
    NUMBER e = power.value * series + (power.value - 1);
    return e / (e + 2);
}

static void NAME(activate)(int kind, NUMBER *x, int rows, int size, const NUMBER *bias) {
    for (int r = 0; r < rows; r++, x += size) {
        if (kind == TANH)
            for (int j = 0; j < size; j++) x[j] = NAME(hyperbolic)(x[j] + bias[j]);
        else if (kind == RELU)
            for (int j = 0; j < size; j++) x[j] = x[j] + bias[j] > 0 ? x[j] + bias[j] : 0;
        else
            for (int j = 0; j < size; j++) x[j] += bias[j];
    }
}

/* Multiply the gradient by the activation's slope. */
static void NAME(descend)(int kind, NUMBER *g, const NUMBER *out, long numbers) {
    if (kind == TANH)
        for (long j = 0; j < numbers; j++) g[j] *= 1 - out[j] * out[j];
    else if (kind == RELU)
        for (long j = 0; j < numbers; j++) g[j] = out[j] > 0 ? g[j] : 0;
}

/* The rows of a forward pass from `first` up to `last`. */
static void NAME(forward)(const Net *net, const void *input, int first, int last) {
    NUMBER room[DEPTH * PANEL] __attribute__((aligned(64)));
    int in = net->in, rows = last - first;
    const NUMBER *x = (const NUMBER *)input + (long)first * in;
    for (int i = 0; i < net->layers; i++) {
        const Layer *layer = &net->layer[i];
        NUMBER *out = (NUMBER *)layer->out + first * layer->size;
        if (net->rows < FEW)
            NAME(inner)(rows, layer->size, in, x, layer->weight, out);
        else
            NAME(product)(rows, layer->size, in, x, in, 1, layer->weight, 1, in, out, layer->size, room);
        NAME(activate)(layer->kind, out, rows, layer->size, layer->bias);
        x = out;
        in = layer->size;
    }
}

/* The gradient at what each layer puts out, for the rows from `first` up to `last`, and at the inputs if wanted. */
static void NAME(descent)(const Net *net, void *gradient, int first, int last) {
    NUMBER room[DEPTH * PANEL] __attribute__((aligned(64)));
    int rows = last - first;
    NUMBER *g = (NUMBER *)gradient + first * net->layer[net->layers - 1].size;
    for (int i = net->layers - 1; i >= net->lowest; i--) {
        const Layer *layer = &net->layer[i];
        int size = layer->size;
        const NUMBER *out = layer->out;
        if (net->chosen)
            for (int r = 0; r < rows; r++)
                NAME(descend)(layer->kind, g + (long)r * size, out + net->chosen[first + r] * size, size);
        else
            NAME(descend)(layer->kind, g, out + (long)first * size, (long)rows * size);
        if (i > net->lowest) {
            int in = net->layer[i - 1].size;
            NUMBER *next = (NUMBER *)net->layer[i - 1].gradient + first * in;
            NAME(product)(rows, in, size, g, size, 1, layer->weight, in, 1, next, in, room);
            g = next;
        } else if (!i && net->below) {
            int width = net->columns;
            const NUMBER *weight = (const NUMBER *)layer->weight + net->column;
            NUMBER *below = (NUMBER *)net->below + first * width;
            NAME(product)(rows, width, size, g, size, 1, weight, net->in, 1, below, width, room);
        }
    }
}

/* One of `parts` shares of the weights' and biases' gradients: some units of each layer. */
static void NAME(gather)(const Net *net, const void *input, const void *gradient, int part, int parts) {
    NUMBER room[DEPTH * PANEL] __attribute__((aligned(64)));
    for (int i = net->lowest; i < net->layers; i++) {
        const Layer *layer = &net->layer[i];
        if (!layer->weight_gradient && !layer->sums) continue;
        const NUMBER *below = i ? net->layer[i - 1].out : input;
        const NUMBER *g = i == net->layers - 1 ? gradient : layer->gradient;
        int in = i ? net->layer[i - 1].size : net->in, size = layer->size;
        int first = share(size, part, parts), units = share(size, part + 1, parts) - first;
        if (!units) continue;
        NUMBER *bias = (NUMBER *)layer->bias_gradient + first;
        memset(bias, 0, units * sizeof(NUMBER));
        for (int r = 0; r < net->rows; r++)
            for (int j = 0; j < units; j++) bias[j] += g[(long)r * size + first + j];
        if (layer->sums) {
            NUMBER *sums = (NUMBER *)layer->sums + first;
            const NUMBER *out = (const NUMBER *)layer->out + first;
            memset(sums, 0, units * sizeof(NUMBER));
            for (int r = 0; r < net->rows; r++)
                for (int j = 0; j < units; j++) sums[j] += g[(long)r * size + first + j] * out[(long)r * size + j];
        } else {
            NUMBER *weight = (NUMBER *)layer->weight_gradient + (long)first * in;
            NAME(product)(units, in, net->rows, g + first, 1, size, below, in, 1, weight, in, room);
        }
    }
}

#undef LANES
#undef PANEL
#undef VEC
