from benchmarks.seeds.measure import main

if __name__ == "__main__":
    main()
