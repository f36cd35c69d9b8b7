// An HNSW graph: hnswlib's own, reached without Python's lock, under a filter, and with vectors in eight bits.
//
// hnswlib's Python module holds the interpreter's lock while it loads, stores and marks, asks a filter through
// Python for every element, and keeps every vector in float32. Its headers do none of that. This is a thin type
// over them: what a vector looks like in the graph and how two of them compare is ours, all else is hnswlib's.
//
// It locks nothing. Searches may run beside each other and beside `save`; whatever changes the graph must run
// alone. index/graph.py sees to it.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if !__has_include("hnswlib/hnswlib.h")
#error "hnswlib's headers are not there: make setup, or deploy/hnswlib_headers.py --constraints constraints.txt"
#endif
#include "hnswlib/hnswlib.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw")))
#endif

namespace {

// ---- distances between float32 vectors

// Registers of so many bytes, which the compiler maps to what the function around is compiled for.
template <int BYTES>
struct Lanes {
    typedef float type __attribute__((vector_size(BYTES)));
};

template <int BYTES, bool SQUARED>
inline __attribute__((always_inline)) float accumulate(const float* a, const float* b, size_t dim) {
    using Register = typename Lanes<BYTES>::type;
    constexpr size_t LANES = BYTES / sizeof(float), WAYS = 4;
    Register sums[WAYS] = {};
    size_t i = 0;
    for (; i + WAYS * LANES <= dim; i += WAYS * LANES)
#pragma GCC unroll 4
        for (size_t way = 0; way < WAYS; ++way) {
            Register left, right;
            std::memcpy(&left, a + i + way * LANES, BYTES);
            std::memcpy(&right, b + i + way * LANES, BYTES);
            if (SQUARED) {
                const Register difference = left - right;
                sums[way] += difference * difference;
            } else {
                sums[way] += left * right;
            }
        }
    const Register all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    float sum = 0;
    for (size_t lane = 0; lane < LANES; ++lane) sum += all[lane];
    for (; i < dim; ++i) sum += SQUARED ? (a[i] - b[i]) * (a[i] - b[i]) : a[i] * b[i];
    return sum;
}

template <bool SQUARED>
float compare_plain(const float* a, const float* b, size_t dim) {
    return accumulate<16, SQUARED>(a, b, dim);
}

#if X86
template <bool SQUARED>
AVX2 float compare_avx2(const float* a, const float* b, size_t dim) {
    return accumulate<32, SQUARED>(a, b, dim);
}

template <bool SQUARED>
AVX512 float compare_avx512(const float* a, const float* b, size_t dim) {
    return accumulate<64, SQUARED>(a, b, dim);
}
#endif

// ---- products of eight-bit vectors, whose length is a multiple of CODE_STEP

constexpr size_t CODE_STEP = 32;

int32_t multiply_plain(const int8_t* a, const int8_t* b, size_t size) {
    int32_t sum = 0;
    for (size_t i = 0; i < size; ++i) sum += a[i] * b[i];
    return sum;
}

#if X86
AVX2 int32_t multiply_avx2(const int8_t* a, const int8_t* b, size_t size) {
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t i = 0; i < size; i += CODE_STEP)
#pragma GCC unroll 2
        for (size_t way = 0; way < 2; ++way) {
            const auto* left = reinterpret_cast<const __m128i*>(a + i + 16 * way);
            const auto* right = reinterpret_cast<const __m128i*>(b + i + 16 * way);
            const __m256i pairs = _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(left)),
                                                    _mm256_cvtepi8_epi16(_mm_loadu_si128(right)));
            sums[way] = _mm256_add_epi32(sums[way], pairs);
        }
    const __m256i both = _mm256_add_epi32(sums[0], sums[1]);
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0b01001110));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0b10110001));
    return _mm_cvtsi128_si32(half);
}

AVX512 int32_t multiply_avx512(const int8_t* a, const int8_t* b, size_t size) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < size; i += CODE_STEP) {
        const auto* left = reinterpret_cast<const __m256i*>(a + i);
        const auto* right = reinterpret_cast<const __m256i*>(b + i);
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_cvtepi8_epi16(_mm256_loadu_si256(left)),
                                                      _mm512_cvtepi8_epi16(_mm256_loadu_si256(right))));
    }
    return _mm512_reduce_add_epi32(sum);
}
#endif

// ---- what this processor has

struct Kernels {
    float (*dot)(const float*, const float*, size_t) = compare_plain<false>;
    float (*square)(const float*, const float*, size_t) = compare_plain<true>;
    int32_t (*multiply)(const int8_t*, const int8_t*, size_t) = multiply_plain;
};

Kernels choose_kernels() {
#if X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw"))
        return {compare_avx512<false>, compare_avx512<true>, multiply_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return {compare_avx2<false>, compare_avx2<true>, multiply_avx2};
#endif
    return {};
}

const Kernels KERNELS = choose_kernels();

// ---- what a vector is in the graph, and how far two are apart

// A quantised vector is its eight-bit numbers, filled up with zeros, and what follows them.
struct Scale {
    float step;    // what one of the eight-bit numbers stands for
    float square;  // the squared length of what they stand for
};

class Space : public hnswlib::SpaceInterface<float> {
  public:
    Space(size_t dim, bool is_l2, bool quantised)
        : dim_(dim), codes_((dim + CODE_STEP - 1) / CODE_STEP * CODE_STEP), is_l2_(is_l2), quantised_(quantised) {}

    size_t get_data_size() override { return quantised_ ? codes_ + sizeof(Scale) : dim_ * sizeof(float); }
    void* get_dist_func_param() override { return this; }
    hnswlib::DISTFUNC<float> get_dist_func() override {
        if (quantised_) return is_l2_ ? quantised_distance<true> : quantised_distance<false>;
        return is_l2_ ? distance<true> : distance<false>;
    }

    size_t dim() const { return dim_; }

    // The vector as the graph compares it: itself, or its codes in `room`.
    const void* encode(const float* vector, std::vector<char>& room) const {
        if (!quantised_) return vector;
        room.assign(codes_ + sizeof(Scale), 0);
        float largest = 0;
        for (size_t i = 0; i < dim_; ++i) largest = std::max(largest, std::fabs(vector[i]));
        const float step = std::max(largest / 127, std::numeric_limits<float>::min());
        auto* codes = reinterpret_cast<int8_t*>(room.data());
        for (size_t i = 0; i < dim_; ++i) codes[i] = static_cast<int8_t>(std::lrintf(vector[i] / step));
        const Scale scale{step, step * step * static_cast<float>(KERNELS.multiply(codes, codes, codes_))};
        std::memcpy(room.data() + codes_, &scale, sizeof scale);
        return room.data();
    }

  private:
    template <bool IS_L2>
    static float distance(const void* a, const void* b, const void* space) {
        const auto dim = static_cast<const Space*>(space)->dim_;
        const auto *left = static_cast<const float*>(a), *right = static_cast<const float*>(b);
        return IS_L2 ? KERNELS.square(left, right, dim) : 1 - KERNELS.dot(left, right, dim);
    }

    template <bool IS_L2>
    static float quantised_distance(const void* a, const void* b, const void* space) {
        const auto size = static_cast<const Space*>(space)->codes_;
        const auto *left = static_cast<const int8_t*>(a), *right = static_cast<const int8_t*>(b);
        Scale scales[2];
        std::memcpy(&scales[0], left + size, sizeof(Scale));
        std::memcpy(&scales[1], right + size, sizeof(Scale));
        const float dot = scales[0].step * scales[1].step * static_cast<float>(KERNELS.multiply(left, right, size));
        return IS_L2 ? scales[0].square + scales[1].square - 2 * dot : 1 - dot;
    }

    size_t dim_, codes_;
    bool is_l2_, quantised_;
};

// ---- searching

// The labels that may be found, ascending.
struct Among : hnswlib::BaseFilterFunctor {
    const int64_t* labels;
    size_t count;

    Among(const int64_t* labels, size_t count) : labels(labels), count(count) {}

    bool operator()(hnswlib::labeltype label) override {
        return std::binary_search(labels, labels + count, static_cast<int64_t>(label));
    }
};

// hnswlib's own rule, and no more than so many elements compared.
class Bounded : public hnswlib::BaseSearchStopCondition<float> {
  public:
    Bounded(size_t ef, size_t most) : ef_(ef), most_(most) {}

    bool gave_up() const { return compared_ > most_; }

    void add_point_to_result(hnswlib::labeltype, const void*, float) override { ++found_; }
    void remove_point_from_result(hnswlib::labeltype, const void*, float) override { --found_; }
    bool should_stop_search(float candidate, float worst) override {
        return gave_up() || (candidate > worst && found_ == ef_);
    }
    bool should_consider_candidate(float candidate, float worst) override {
        ++compared_;
        return found_ < ef_ || worst > candidate;
    }
    bool should_remove_extra() override { return found_ > ef_; }
    void filter_results(std::vector<std::pair<float, hnswlib::labeltype>>&) override {}

  private:
    size_t ef_, most_, found_ = 0, compared_ = 0;
};

class Graph {
  public:
    Graph(size_t dim, bool is_l2, bool quantised, size_t m, size_t ef_construction)
        : space_(dim, is_l2, quantised), graph_(&space_, FIRST_ROOM, m, ef_construction) {}

    const Space& space() const { return space_; }
    size_t count() const { return graph_.cur_element_count; }
    size_t deleted() const { return graph_.num_deleted_; }

    // In so many threads, this one included; what went in before one of them fails stays.
    void add(const float* vectors, const int64_t* labels, size_t rows, size_t threads) {
        const size_t needed = count() + rows;
        if (needed > graph_.max_elements_) graph_.resizeIndex(std::max(needed, graph_.max_elements_ * 3 / 2));
        std::atomic<size_t> next{0};
        std::exception_ptr failure;
        std::mutex failing;
        const auto work = [&] {
            try {
                std::vector<char> room;
                for (size_t row = next++; row < rows; row = next++)
                    graph_.addPoint(space_.encode(vectors + row * space_.dim(), room), labels[row]);
            } catch (...) {
                const std::lock_guard<std::mutex> one(failing);
                failure = std::current_exception();
            }
        };
        std::vector<std::thread> others(std::min(threads, rows) - (rows > 0));
        for (auto& other : others) other = std::thread(work);
        work();
        for (auto& other : others) other.join();
        if (failure) std::rethrow_exception(failure);
    }

    // Marks these labels as deleted; those that are not here, or are already, do not matter. How many it marked.
    size_t forget(const int64_t* labels, size_t rows) {
        const size_t before = deleted();
        for (size_t row = 0; row < rows; ++row) {
            const auto found = graph_.label_lookup_.find(labels[row]);
            if (found != graph_.label_lookup_.end() && !graph_.isMarkedDeleted(found->second))
                graph_.markDeletedInternal(found->second);
        }
        return deleted() - before;
    }

    // The nearest labels, best first, and how many; -1 for having compared more than `most` elements.
    int64_t search(const float* query, size_t k, size_t ef, Among* among, size_t most, int64_t* labels) const {
        std::vector<char> room;
        Bounded bounded(std::max(ef, k), most);
        const auto found = graph_.searchStopConditionClosest(space_.encode(query, room), bounded, among);
        if (bounded.gave_up()) return -1;
        const size_t rows = std::min(k, found.size());
        // What hnswlib 0.8.0 calls labels here are places in the graph.
        for (size_t row = 0; row < rows; ++row)
            labels[row] = static_cast<int64_t>(graph_.getExternalLabel(found[row].second));
        return static_cast<int64_t>(rows);
    }

    void labels(int64_t* out) const {
        for (size_t place = 0; place < count(); ++place)
            out[place] = static_cast<int64_t>(graph_.getExternalLabel(place));
    }

    void save(const std::string& path) {
        graph_.saveIndex(path);
        std::ifstream written(path, std::ios::binary | std::ios::ate);
        // hnswlib does not look whether the disk was full.
        if (!written || static_cast<size_t>(written.tellg()) != graph_.indexFileSize())
            throw std::runtime_error("the file was not written whole");
    }

    void load(const std::string& path) {
        graph_.loadIndex(path, &space_);
        // What else depends on the shape, hnswlib takes from the file as it stands.
        if (graph_.label_offset_ - graph_.offsetData_ != space_.get_data_size())
            throw std::runtime_error("the file is of vectors of another kind");
    }

  private:
    static constexpr size_t FIRST_ROOM = 1024;

    Space space_;
    hnswlib::HierarchicalNSW<float> graph_;
};

// ---- Python

struct PyGraph {
    PyObject_HEAD
    Graph* graph;
};

Graph& graph_of(PyObject* self) { return *reinterpret_cast<PyGraph*>(self)->graph; }

// A contiguous array of a caller's, given back at the end.
template <typename T>
class Array {
  public:
    Array() = default;
    ~Array() {
        if (given()) PyBuffer_Release(&view_);
    }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;

    Py_buffer* view() { return &view_; }
    bool given() const { return view_.obj != nullptr; }  // and not None
    T* data() const { return static_cast<T*>(view_.buf); }
    size_t size() const { return static_cast<size_t>(view_.len) / sizeof(T); }

  private:
    Py_buffer view_{};
};

// Runs `work` without Python's lock; false, with Python's error set, if it fails.
template <typename Work>
bool run(Work work) {
    std::string failure;
    bool no_memory = false;
    Py_BEGIN_ALLOW_THREADS;
    try {
        work();
    } catch (const std::bad_alloc&) {
        no_memory = true;
    } catch (const std::exception& error) {
        failure = error.what();
    }
    Py_END_ALLOW_THREADS;
    if (no_memory) PyErr_NoMemory();
    else if (!failure.empty()) PyErr_SetString(PyExc_RuntimeError, failure.c_str());
    return !no_memory && failure.empty();
}

PyObject* make(PyTypeObject* type, PyObject* args, PyObject*) {
    Py_ssize_t dim, m, ef_construction;
    int is_l2, quantised;
    if (!PyArg_ParseTuple(args, "nppnn", &dim, &is_l2, &quantised, &m, &ef_construction)) return nullptr;
    if (dim < 1 || m < 2 || ef_construction < 1) {
        PyErr_SetString(PyExc_ValueError, "a graph needs dim >= 1, m >= 2, ef_construction >= 1");
        return nullptr;
    }
    const auto allocate = reinterpret_cast<allocfunc>(PyType_GetSlot(type, Py_tp_alloc));
    PyObject* self = allocate(type, 0);
    if (!self) return nullptr;
    Graph*& graph = reinterpret_cast<PyGraph*>(self)->graph;
    if (!run([&] { graph = new Graph(dim, is_l2, quantised, m, ef_construction); })) Py_CLEAR(self);
    return self;
}

void destroy(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    Graph* graph = reinterpret_cast<PyGraph*>(self)->graph;
    Py_BEGIN_ALLOW_THREADS;
    delete graph;
    Py_END_ALLOW_THREADS;
    reinterpret_cast<freefunc>(PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

PyObject* add(PyObject* self, PyObject* args) {
    Array<const float> vectors;
    Array<const int64_t> labels;
    Py_ssize_t threads;
    if (!PyArg_ParseTuple(args, "y*y*n", vectors.view(), labels.view(), &threads)) return nullptr;
    Graph& graph = graph_of(self);
    if (threads < 1 || vectors.size() != labels.size() * graph.space().dim()) {
        PyErr_SetString(PyExc_ValueError, "as many vectors as labels are needed, and a thread");
        return nullptr;
    }
    if (!run([&] { graph.add(vectors.data(), labels.data(), labels.size(), threads); })) return nullptr;
    Py_RETURN_NONE;
}

PyObject* forget(PyObject* self, PyObject* args) {
    Array<const int64_t> labels;
    if (!PyArg_ParseTuple(args, "y*", labels.view())) return nullptr;
    size_t marked = 0;
    if (!run([&] { marked = graph_of(self).forget(labels.data(), labels.size()); })) return nullptr;
    return PyLong_FromSize_t(marked);
}

PyObject* search(PyObject* self, PyObject* args) {
    Array<const float> queries;
    Array<const int64_t> among;
    Array<int64_t> labels, found;
    Py_ssize_t ef;
    unsigned long long most;
    if (!PyArg_ParseTuple(args, "y*nz*Kw*w*", queries.view(), &ef, among.view(), &most, labels.view(),
                          found.view()))
        return nullptr;
    const Graph& graph = graph_of(self);
    const size_t rows = found.size(), dim = graph.space().dim();
    if (ef < 1 || rows < 1 || queries.size() != rows * dim || labels.size() % rows) {
        PyErr_SetString(PyExc_ValueError, "the arrays of a search do not fit each other");
        return nullptr;
    }
    const size_t k = labels.size() / rows;
    const bool done = run([&] {
        Among those(among.data(), among.size());
        for (size_t row = 0; row < rows; ++row)
            found.data()[row] = graph.search(queries.data() + row * dim, k, ef, among.given() ? &those : nullptr,
                                             most, labels.data() + row * k);
    });
    if (!done) return nullptr;
    Py_RETURN_NONE;
}

PyObject* labels(PyObject* self, PyObject* args) {
    Array<int64_t> out;
    if (!PyArg_ParseTuple(args, "w*", out.view())) return nullptr;
    if (out.size() != graph_of(self).count()) {
        PyErr_SetString(PyExc_ValueError, "there must be room for every label");
        return nullptr;
    }
    if (!run([&] { graph_of(self).labels(out.data()); })) return nullptr;
    Py_RETURN_NONE;
}

template <void (Graph::*METHOD)(const std::string&)>
PyObject* with_file(PyObject* self, PyObject* args) {
    PyObject* path = nullptr;
    if (!PyArg_ParseTuple(args, "O&", PyUnicode_FSConverter, &path)) return nullptr;
    const std::string name = PyBytes_AsString(path);
    Py_DECREF(path);
    if (!run([&] { (graph_of(self).*METHOD)(name); })) return nullptr;
    Py_RETURN_NONE;
}

PyObject* count(PyObject* self, void*) { return PyLong_FromSize_t(graph_of(self).count()); }
PyObject* deleted(PyObject* self, void*) { return PyLong_FromSize_t(graph_of(self).deleted()); }

PyMethodDef METHODS[] = {{"add", add, METH_VARARGS, nullptr},
                         {"forget", forget, METH_VARARGS, nullptr},
                         {"search", search, METH_VARARGS, nullptr},
                         {"labels", labels, METH_VARARGS, nullptr},
                         {"save", with_file<&Graph::save>, METH_VARARGS, nullptr},
                         {"load", with_file<&Graph::load>, METH_VARARGS, nullptr},
                         {}};

PyGetSetDef PROPERTIES[] = {{"count", count, nullptr, nullptr, nullptr},
                            {"deleted", deleted, nullptr, nullptr, nullptr},
                            {}};

PyType_Slot SLOTS[] = {{Py_tp_new, reinterpret_cast<void*>(make)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
                       {Py_tp_methods, METHODS},
                       {Py_tp_getset, PROPERTIES},
                       {0, nullptr}};

PyType_Spec SPEC = {"index._hnsw.Graph", sizeof(PyGraph), 0, Py_TPFLAGS_DEFAULT, SLOTS};

}  // namespace

PyMODINIT_FUNC PyInit__hnsw() {
    static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_hnsw", nullptr, -1, nullptr};
    PyObject* made = PyModule_Create(&module);
    PyObject* type = made ? PyType_FromSpec(&SPEC) : nullptr;
    if (!type || PyModule_AddObjectRef(made, "Graph", type) < 0) Py_CLEAR(made);
    Py_XDECREF(type);
    return made;
}
