// The kernels of actalker/ssm/selective/numba_kernels.py in C++, for the benchmark alone: one sequence, one group, float32,
// softplus, D and bias. Compiled with -march=native; the yardstick for what numba makes of the same loops.
//
// Letters: l length, d channels (a multiple of 16), n state size, t step, k step in a chunk, o channel, i state.
// A is (d / 16, n, 16) times log2(e), states (l / CHUNK, d / 16, n, 16), rounded up.

#include <algorithm>
#include <cstring>
#include <vector>

#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

namespace {

constexpr long LANES = 16, CHUNK = 64;
typedef float V __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int I __attribute__((vector_size(4 * LANES), aligned(4)));

inline V load(const float* p) { return *reinterpret_cast<const V*>(p); }
inline void store(float* p, V x) { *reinterpret_cast<V*>(p) = x; }
inline V spread(float x) { return x - V{}; }

template <size_t size>
inline V polynomial(V x, const float (&coefficients)[size]) {
    V y = spread(coefficients[0]);
    for (size_t i = 1; i < size; i++) y = y * x + coefficients[i];
    return y;
}

inline V exp2(V x) {
#if defined(__AVX512DQ__)
    V rest = (V)_mm512_reduce_ps((__m512)x, 8);
    V whole = x - rest;
#else
    x = x < -126.0f ? spread(-126.0f) : x;
    x = x > 128.0f ? spread(128.0f) : x;
    V magic = spread(12582912.0f), shifted = x + magic;  // 1.5 * 2^23
    V rest = x - (shifted - magic);
#endif
    V y = polynomial(rest, {0.0013300264330902145f, 0.009669708463637385f, 0.055505599941115556f,
                            0.2402228160658189f, 0.6931471805599453f, 1.0f});
#if defined(__AVX512DQ__)
    return (V)_mm512_scalef_ps((__m512)y, (__m512)whole);
#else
    return (V)((I)y + ((I)shifted << 23));
#endif
}

inline V softplus(V x, V* slope) {
    V falling = x < 0.0f ? x : -x, e = exp2(falling * 1.4426950408889634f), s = e / (e + 2.0f);
    V series = polynomial(s * s, {2.0f / 13, 2.0f / 11, 2.0f / 9, 2.0f / 7, 2.0f / 5, 2.0f / 3, 2.0f});
    *slope = (x < 0.0f ? e : spread(1.0f)) / (e + 1.0f);
    return series * s + (x < 0.0f ? spread(0.0f) : x);
}

// Lane i of the result is the sum of the i-th of 16 vectors.
inline V sums(const float* p) {
    V v[LANES];
    for (long i = 0; i < LANES; i++) v[i] = load(p + i * LANES);
    for (long fold = LANES / 2; fold; fold /= 2) {
        for (long j = 0; j < fold; j++) {
            I low = {}, high = {};
            long at = 0;
            for (long start = 0; start < LANES; start += 2 * fold)
                for (long side : {0L, LANES})
                    for (long lane = start; lane < start + fold; lane++, at++)
                        low[at] = lane + side, high[at] = lane + side + fold;
            v[j] = __builtin_shuffle(v[j], v[j + fold], low) + __builtin_shuffle(v[j], v[j + fold], high);
        }
    }
    return v[0];
}

}  // namespace

extern "C" void scan_forward(long l, long d, long n, const float* u, const float* delta, const float* A,
                             const float* B, const float* C, const float* D, const float* bias, float* y,
                             float* states) {
    std::vector<float> h(d * n);
    for (long first = 0; first < l; first += CHUNK) {
        for (long o = 0; o < d; o += LANES) {
            float* own = h.data() + o * n;
            const float* rate = A + o * n;
            V shift = load(bias + o), skip = load(D + o), slope;
            if (states) std::memcpy(states + (first / CHUNK * d + o) * n, own, 4 * LANES * n);
            for (long t = first; t < std::min(first + CHUNK, l); t++) {
                const float *B_t = B + t * n, *C_t = C + t * n;
                __builtin_prefetch(u + t * d + o + LANES);
                __builtin_prefetch(delta + t * d + o + LANES);
                __builtin_prefetch(y + t * d + o + LANES, 1);
                V x = load(u + t * d + o), dt = softplus(load(delta + t * d + o) + shift, &slope);
                V drive = dt * x, out = skip * x;
                for (long i = 0; i < n; i++) {
                    V state = exp2(dt * load(rate + i * LANES)) * load(own + i * LANES) + drive * spread(B_t[i]);
                    store(own + i * LANES, state);
                    out += state * spread(C_t[i]);
                }
                store(y + t * d + o, out);
            }
        }
    }
}

// dA (d / 16, n, 16), dD, dbias (d,) and dB, dC (l, n) start at zero.
extern "C" void scan_backward(long l, long d, long n, const float* u, const float* delta, const float* A,
                              const float* B, const float* C, const float* D, const float* bias,
                              const float* states, const float* dy, float* du, float* ddelta, float* dA,
                              float* dB, float* dC, float* dD, float* dbias) {
    const long bundle = n * LANES;
    std::vector<float> dh_all(d * n), dB_k(CHUNK * bundle), dC_k(CHUNK * bundle), decay_k(CHUNK * bundle),
        state_k((CHUNK + 1) * bundle), dt_k(CHUNK * LANES), slope_k(CHUNK * LANES);
    for (long first = (l - 1) / CHUNK * CHUNK; first >= 0; first -= CHUNK) {
        const long steps = std::min(CHUNK, l - first);
        std::fill(dB_k.begin(), dB_k.end(), 0.0f);
        std::fill(dC_k.begin(), dC_k.end(), 0.0f);
        for (long o = 0; o < d; o += LANES) {
            float *dh = dh_all.data() + o * n, *dA_o = dA + o * n;
            const float* rate = A + o * n;
            V shift = load(bias + o), skip = load(D + o), slope;
            std::memcpy(state_k.data(), states + (first / CHUNK * d + o) * n, 4 * bundle);
            for (long k = 0; k < steps; k++) {
                const long at = (first + k) * d + o;
                const float* B_t = B + (first + k) * n;
                __builtin_prefetch(u + at + LANES);
                __builtin_prefetch(delta + at + LANES);
                __builtin_prefetch(dy + at + LANES);
                __builtin_prefetch(du + at, 1);
                __builtin_prefetch(ddelta + at, 1);
                V x = load(u + at), dt = softplus(load(delta + at) + shift, &slope), drive = dt * x;
                store(&dt_k[k * LANES], dt);
                store(&slope_k[k * LANES], slope);
                for (long i = 0; i < n; i++) {
                    const long m = k * bundle + i * LANES;
                    V decay = exp2(dt * load(rate + i * LANES));
                    store(&decay_k[m], decay);
                    store(&state_k[bundle + m], decay * load(&state_k[m]) + drive * spread(B_t[i]));
                }
            }
            V dD_sum = load(dD + o), dbias_sum = load(dbias + o);
            for (long k = steps - 1; k >= 0; k--) {
                const long at = (first + k) * d + o;
                const float *B_t = B + (first + k) * n, *C_t = C + (first + k) * n;
                V x = load(u + at), dout = load(dy + at), dt = load(&dt_k[k * LANES]), drive = dt * x;
                V ddrive = {}, dexponent = {};
                for (long i = 0; i < n; i++) {
                    const long c = i * LANES, m = k * bundle + c;
                    V grad = dout * spread(C_t[i]) + load(dh + c);
                    store(&dC_k[m], dout * load(&state_k[bundle + m]) + load(&dC_k[m]));
                    store(&dB_k[m], grad * drive + load(&dB_k[m]));
                    ddrive += grad * spread(B_t[i]);
                    grad *= load(&decay_k[m]);
                    store(dh + c, grad);
                    grad *= load(&state_k[m]);
                    dexponent += grad * load(rate + c);
                    store(dA_o + c, grad * dt + load(dA_o + c));
                }
                V ddt = (x * ddrive + dexponent * 0.6931471805599453f) * load(&slope_k[k * LANES]);
                store(du + at, dt * ddrive + skip * dout);
                store(ddelta + at, ddt);
                dbias_sum += ddt;
                dD_sum += dout * x;
            }
            store(dD + o, dD_sum);
            store(dbias + o, dbias_sum);
        }
        for (long i = 0; i < steps * n; i += LANES) {
            V b = sums(&dB_k[i * LANES]), c = sums(&dC_k[i * LANES]);
            for (long j = 0; j < std::min(LANES, steps * n - i); j++) {
                dB[first * n + i + j] = b[j];
                dC[first * n + i + j] = c[j];
            }
        }
    }
}

// What no kernel of this form goes below: the exponentials of all states, of 1024 numbers in the L1 cache ...
extern "C" void exponentials(long count, float* x) {
    V total = {};
    for (long i = 0; i < count; i += LANES) total += exp2(load(x + (i & 1023)));
    store(x, total);
}

// ... and reading u and delta and writing y.
extern "C" void traffic(long count, const float* u, const float* delta, float* y) {
    for (long i = 0; i < count; i += LANES) store(y + i, load(u + i) + load(delta + i));
}
